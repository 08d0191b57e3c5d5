#!/bin/sh
# Make the virtual environment, or say in one line what is missing.
set -eu
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "Ovenbridge needs Python 3.11 or newer; \`$PYTHON\` is not. Try: make PYTHON=python3.13 ..." >&2
    exit 2
}
[ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
"$PYTHON" -m venv "$VENV" >/dev/null 2>&1 && exit 0
# Debian and Ubuntu ship venv as a package of its own.
rm -rf "$VENV"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing python3-venv ..." >&2
    apt-get update -qq >/dev/null && apt-get install -y -qq python3-venv >/dev/null 2>&1 || true
    "$PYTHON" -m venv "$VENV" && exit 0
fi
echo "Python's venv module is missing. Install it with: sudo apt install python3-venv" >&2
exit 2
