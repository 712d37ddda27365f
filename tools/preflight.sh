#!/bin/sh
# Says what is missing, in one sentence, before anything is downloaded or built.
fail() {
    echo "error: $1" >&2
    exit 1
}
python=${PYTHON:-python3}
command -v cargo >/dev/null 2>&1 && command -v rustc >/dev/null 2>&1 ||
    fail "cargo is not on the PATH: install Rust (https://rustup.rs) and try again"
minor=$(rustc --version | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p')
[ "${minor:-0}" -ge 89 ] || fail "Rust 1.89 or newer is needed, this is '$(rustc --version)': rustup update"
command -v "${CXX:-c++}" >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 ||
    fail "there is no C++ compiler, which the libtorch bindings need (Debian: apt install g++)"
command -v cc >/dev/null 2>&1 || fail "there is no linker, cc, which Rust needs (Debian: apt install gcc)"
command -v "$python" >/dev/null 2>&1 || fail "there is no python3, which downloads libtorch (Debian: apt install python3 python3-pip)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || fail "Python 3.9 or newer is needed, this is $("$python" --version 2>&1)"
if [ -z "${LIBTORCH:-}${LIBTORCH_USE_PYTORCH:-}" ]; then
    "$python" -m pip --version >/dev/null 2>&1 ||
        fail "$python has no pip, which downloads libtorch (Debian: apt install python3-pip)"
fi
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target" || fail "$target cannot be made"
if [ ! -d "$target/release" ]; then
    free=$(df -Pk "$target" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "${free:-0}" -ge 3000 ] || fail "$target has $free MB free and 3000 MB are needed to build: make room, or set CARGO_TARGET_DIR"
fi
