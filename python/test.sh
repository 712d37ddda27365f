#!/bin/sh
# The checks of the Python package, in an environment of its own beside the build. With --quick: only what installs in a minute.
# Packages that some tests need and that cannot be had are said, and those tests are skipped with a word.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}
here=${CARGO_TARGET_DIR:-$PWD/target}
[ -n "${CARGO_TARGET_DIR:-}" ] && here=$CARGO_TARGET_DIR/python
environment=$here/environment
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "python-test: SKIPPED, Python is older than 3.10"; exit 0; }
[ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
pip="$environment/bin/python -m pip install -q --disable-pip-version-check"
$pip 'maturin>=1.9,<2' pytest gymnasium==1.4.0 pettingzoo==1.27.0 pandas 'minari[hdf5]==0.5.4' pygame moviepy ||
    { echo "python-test: SKIPPED, its packages cannot be had"; exit 0; }
if [ "${1:-}" != --quick ]; then
    $pip stable-baselines3==2.9.2 sb3-contrib torchrl || echo "python-test: without torch, whose tests are skipped"
fi
CARGO_TARGET_DIR=$here VIRTUAL_ENV=$environment "$environment/bin/maturin" develop --release --quiet
CARGO_TARGET_DIR=$here VIRTUAL_ENV=$environment "$environment/bin/maturin" develop --release --quiet -m tests/extension/Cargo.toml
exec "$environment/bin/python" -m pytest -q -rs
