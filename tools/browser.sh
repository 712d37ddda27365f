#!/bin/sh
# Puts Debian's Chromium and its driver where the tests of pages find them. Without them these tests say that they are skipped.
set -u
command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1 && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "browser: not installed (root and Debian's packages are needed)"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get install -y --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1 ||
    echo "browser: Debian's chromium and chromium-driver could not be installed"
