#!/bin/sh
# Builds the book into target/book by mdBook: the one on the PATH, or the one beside the build. Where there is none, `tools/book.sh install` gets
# it from crates.io (it took twelve minutes on two busy cores); without that word links alone are checked.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
at=${CARGO_TARGET_DIR:-$PWD/target}/mdbook
# Pinned, so that the same pages make the same book everywhere; newer releases may read footnotes and anchors otherwise.
version=0.5.4

"$python" tools/book.py --links || exit 1
if [ "${1:-}" = install ] && ! command -v mdbook >/dev/null 2>&1 && ! [ -x "$at/bin/mdbook" ]; then
    mkdir -p "$at"
    # Built apart from the workspace, without its server; what was built stays, so that a later call goes on after a limit of time.
    CARGO_TARGET_DIR="$at/target" ${CARGO:-cargo} install mdbook --version "$version" --locked --no-default-features --features search \
        --root "$at" >"$at/install.log" 2>&1 </dev/null || echo "book: mdBook could not be installed ($at/install.log says why)"
fi
PATH=$PATH:$at/bin
if ! command -v mdbook >/dev/null 2>&1; then
    echo "book: not built, links alone were checked: mdBook is not installed (sh tools/book.sh install)"
    exit 0
fi
mdbook build docs && echo "book: target/book/index.html"
