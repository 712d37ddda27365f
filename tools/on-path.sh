#!/bin/sh
# After `cargo install`: is the rlx on the PATH the one that was just installed? make cannot extend its caller's PATH.
bin=${CARGO_INSTALL_ROOT:-${CARGO_HOME:-$HOME/.cargo}}/bin
found=$(command -v rlx || true)
if [ "$found" = "$bin/rlx" ] || [ -n "$found" ] && [ "$found" -ef "$bin/rlx" ]; then
    echo "rlx is installed: $found"
    exit 0
fi
if [ -n "$found" ]; then
    echo "error: rlx was installed as $bin/rlx, but the PATH finds $found first; put this line into your shell's start-up file:" >&2
else
    echo "error: rlx was installed as $bin/rlx, but that folder is not on the PATH; put this line into your shell's start-up file:" >&2
fi
echo "    export PATH=\"$bin:\$PATH\"" >&2
exit 1
