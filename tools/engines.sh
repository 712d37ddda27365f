#!/bin/sh
# What the tests of cluster engines and of TensorBoard start, as far as this machine lets it be installed: Debian's slurm-wlm, munge and
# parallel (as root), and PyPI's ray, hyperqueue and tensorboard, each in an environment of its own beside the build. Never fails: a test
# whose program is missing says that it was skipped.
python=${PYTHON:-python3}
at=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/engines
mkdir -p "$at"

missing=
command -v slurmctld >/dev/null 2>&1 || [ -x /usr/sbin/slurmctld ] || missing="slurm-wlm munge"
command -v parallel >/dev/null 2>&1 || missing="$missing parallel"
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        export DEBIAN_FRONTEND=noninteractive
        apt() { timeout 120 apt-get -q -y -o DPkg::Lock::Timeout=30 --no-install-recommends "$@" </dev/null >>"$at/apt.log" 2>&1; }
        # shellcheck disable=SC2086 # several words
        apt install $missing || { apt update && apt install $missing; } ||
            echo "not installed: $missing ($at/apt.log says why)"
    else
        echo "not installed: $missing (root and apt-get are needed)"
    fi
fi

# environment NAME MODULE PACKAGE...
environment() {
    name=$1 module=$2
    shift 2
    "$at/$name/bin/python" -c "import $module" >/dev/null 2>&1 && return
    { timeout 60 "$python" -m venv --clear "$at/$name" && timeout 120 "$at/$name/bin/python" -m pip install -q "$@"; } \
        </dev/null >"$at/$name.log" 2>&1 || echo "not installed: $name ($at/$name.log says why)"
}
environment ray ray "ray[default]==2.60.0" &
environment hyperqueue hyperqueue hyperqueue==0.27.0 &
environment tensorboard tensorboard tensorboard==2.21.0 "setuptools<81" numpy &
wait
exit 0
