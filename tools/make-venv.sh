#!/bin/sh
# Makes a virtual environment with pip: make-venv.sh PYTHON FOLDER
#
# Debian and Ubuntu keep the part of Python that brings pip into a virtual environment in a package
# of its own (python3-venv). Where it is missing, pip comes from the package python3-pip-whl, which
# is unpacked and not installed: no root is needed.
set -eu
python=$1 folder=$2

rm -rf "$folder"
if "$python" -c 'import ensurepip' 2>/dev/null; then
    exec "$python" -m venv "$folder"
fi
"$python" -m venv --without-pip "$folder"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
mkdir -p "$scratch/lists/partial" "$scratch/archives/partial"
set -- -qq -o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch" -o APT::Sandbox::User=root
if ! (apt-get "$@" update && cd "$scratch" && apt-get "$@" download python3-pip-whl \
        && dpkg-deb -x python3-pip-whl_*.deb . ); then
    rm -rf "$folder"
    echo "no pip for $python: install it with 'sudo apt-get install python3-venv', and try again" >&2
    exit 1
fi
wheel=$(echo "$scratch"/usr/share/python-wheels/pip-*.whl)
if ! "$folder/bin/python" "$wheel/pip" install -q --disable-pip-version-check pip; then
    rm -rf "$folder"
    exit 1
fi
