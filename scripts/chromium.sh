#!/bin/sh
# Chromium and its driver for the tests of the server's page.
#
#   scripts/chromium.sh [--install] COMMAND [ARGUMENT...]
#       Runs COMMAND with KEEPFIT_TEST_CHROMIUM set to "yes" if both are here. If not, says so and runs COMMAND all the same.
#
# --install gets them by apt-get where they are missing (Debian, as root). The exit code is that of COMMAND.
set -eu

are_here() {
    command -v chromium >/dev/null && command -v chromedriver >/dev/null
}

if [ "${1:-}" = "--install" ]; then
    shift
    if ! are_here && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        {
            apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium chromium-driver
        } >&2 || echo "Chromium cannot be installed by apt-get" >&2
    fi
fi
if are_here; then
    KEEPFIT_TEST_CHROMIUM=yes exec "$@"
fi
echo "No Chromium here: the tests of the server's page are left out. On Debian: apt-get install chromium chromium-driver" >&2
exec "$@"
