#!/bin/sh
# Every test: the installer's own, then the workspace's. The last line is the sum.
python=${PYTHON:-python3}
log=${CARGO_TARGET_DIR:-target}/test.log
: >"$log"
failed=0
echo "== tools"
"$python" tools/test_libtorch.py >"$log.tools" 2>&1 || failed=1
cat "$log.tools"
echo "== workspace"
# Documentation tests do not get the path to libtorch that build scripts give the other binaries.
libtorch=$("$python" tools/libtorch.py --path)
LD_LIBRARY_PATH="$libtorch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
{
    cargo test --release --workspace --locked --no-fail-fast 2>&1
    echo "exit $?" >"$log.exit"
} | tee "$log"
broken=0
if [ "$(cat "$log.exit")" != "exit 0" ]; then
    failed=1
    # Nothing to count where a crate does not build or a test binary dies: it is one failure all the same.
    grep -q '^test result: FAILED' "$log" || { broken=1; echo "error: the workspace's tests did not build, or did not run to their end"; }
fi
tools=$(sed -n 's/^Ran \([0-9]*\) tests\{0,1\} in.*/\1/p' "$log.tools")
tools_failed=$(sed -n 's/^FAILED (.*\(failures\|errors\)=\([0-9]*\).*/\2/p' "$log.tools")
awk -v broken="$broken" -v tools="${tools:-0}" -v tools_failed="${tools_failed:-0}" '
    /^test result:/ { passed += $4; failed += $6; skipped += $8 }
    /^skipped: / { print "(" $0 ")" }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed + tools - tools_failed, failed + tools_failed + broken, skipped
    }' "$log"
exit $failed
