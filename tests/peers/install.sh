#!/bin/sh
# Installs the independent servers of tests/peers: npm packages into .peers/, the rest from apt where we are root.
# Answers 0 when everything is there. Otherwise it says what is missing and answers 0 all the same, because those tests
# skip themselves and say why; with OVENBRIDGE_PEERS=required it answers 1.
set -u
APT="mosquitto libmodbus-dev gcc socat"
missing=""

mkdir -p .peers
cp tests/peers/package.json .peers/package.json
if ! command -v npm >/dev/null 2>&1; then
    missing="$missing npm(install Node.js)"
elif ! npm install --prefix .peers --silent --no-audit --no-fund --no-package-lock; then
    missing="$missing npm-packages(npm install failed)"
fi

wanted=""
for package in $APT; do
    dpkg -s "$package" >/dev/null 2>&1 || wanted="$wanted $package"
done
if [ -n "$wanted" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086 # a list of words
        apt-get install -y -qq --no-install-recommends $wanted >/dev/null 2>&1 \
            || { apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq --no-install-recommends $wanted >/dev/null; } \
            || missing="$missing$wanted(apt-get failed)"
    else
        missing="$missing$wanted(not root: apt-get install$wanted)"
    fi
fi

if [ -z "$missing" ]; then
    touch "$1"
    exit 0
fi
echo "tests/peers: not installed, so the tests against them are skipped:$missing" >&2
[ "${OVENBRIDGE_PEERS:-}" != required ]
