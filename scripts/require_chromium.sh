#!/bin/sh
# Succeed when there is a Chromium or Chrome for the tests marked `browser`; install one where that
# can be done without asking (root on a system with apt); otherwise say in one line how to.
set -eu

has_browser() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}

has_browser && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing chromium"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null || true
    # A font as well: without one every letter is a box.
    apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null || true
    has_browser && exit 0
fi
echo "The tests marked 'browser' look at pages in Chromium, and there is none on the PATH:" \
    "sudo apt-get install chromium fonts-dejavu-core (or your system's package), or leave them out" \
    "with make test PYTEST_FLAGS=\"-m 'not browser'\"" >&2
exit 1
