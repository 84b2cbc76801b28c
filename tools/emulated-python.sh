#!/usr/bin/env bash
# Makes a Python of another processor that runs here: emulated-python.sh arm64|armhf FOLDER
#
# Python comes from Debian's packages and the rest from PyPI's wheels, as on a Raspberry Pi; QEMU's
# user-mode emulation runs it. Nothing is installed on this machine, and no root is needed: packages
# are unpacked into FOLDER. A folder that is there is kept, unless this file or the pins changed.
#
# FOLDER/bin/python      the device with the interpreter of today (armhf: the only one there is)
# FOLDER/old/bin/python  arm64: the same with tflite-runtime 2.14
# $FMX_CPU chooses the processor, by QEMU's names. $DEBIAN_MIRROR is Debian's address where this
# machine has none among its own package sources.
set -euo pipefail
architecture=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}

inputs=$( (cat "$0" "$here/constraints.txt" && echo "$folder $here") | sha256sum)
[[ -f $folder/ready && $(cat "$folder/ready") == "$inputs" ]] && exit
rm -rf "$folder"
mkdir -p "$folder"

need() {
    echo "make test-$architecture needs $*" >&2
    exit 1
}
command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
    need "apt-get and dpkg: it unpacks Debian's packages"
mirror=${DEBIAN_MIRROR:-}
[[ -n $mirror ]] || mirror=$(apt-get indextargets 'Created-By: Packages' \
    --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' | awk '$2 == "Debian" && $3 !~ /-/ {print $1; exit}')
# before the first 'apt-get update' only the addresses are known
[[ -n $mirror ]] || mirror=$(apt-get indextargets --no-release-info 'Created-By: Packages' \
    --format '$(REPO_URI) $(COMPONENT)' | awk '/\/debian\/? main$/ {print $1; exit}')
[[ -n $mirror ]] || need "Debian's packages, and this machine's package sources have none: name a" \
    "mirror, DEBIAN_MIRROR=http://... make test-$architecture"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -f $keyring ]] || need "Debian's keys: 'sudo apt-get install debian-archive-keyring'"

# unpack ARCHITECTURE SUITE TARGET PACKAGE...: with all that they depend on, as if on an empty machine
unpack() {
    local machine=$1 suite=$2 target=$3 apt
    shift 3
    apt=$folder/apt.$machine.$suite
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$target"
    : >"$apt/status"
    echo "deb [arch=$machine signed-by=$keyring] $mirror $suite main" >"$apt/sources.list"
    local options=(-qq -oAPT::Architecture="$machine" -oAPT::Architectures="$machine"
        -oDir::Etc::sourcelist="$apt/sources.list" -oDir::Etc::sourceparts=/dev/null
        -oDir::State="$apt" -oDir::State::lists="$apt/lists" -oDir::State::status="$apt/status"
        -oDir::Cache="$apt/cache" -oAPT::Sandbox::User= -oAcquire::Languages=none
        -oDebug::NoLocking=1)
    apt-get "${options[@]}" update &&
        apt-get "${options[@]}" install --yes --download-only --no-install-recommends "$@" ||
        need "the $machine packages $* of Debian $suite, which $mirror does not give"
    for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$target"; done
    rm -rf "$apt"
}

# wheels TARGET PLATFORM... -- REQUIREMENT...
wheels() {
    local target=$1 platforms=()
    shift
    while [[ $1 != -- ]]; do
        platforms+=(--platform "$1")
        shift
    done
    shift
    "$python" -m pip install -q --disable-pip-version-check --no-warn-conflicts --only-binary :all: \
        "${platforms[@]}" --python-version 3.11 --target "$target" "$@"
}

# command FOLDER [VARIABLE=VALUE]: Python, and fmx-run, as commands that can be started as any other
command_of() {
    local bin=$1/bin emulator=$2
    shift 2
    mkdir -p "$bin"
    cat >"$bin/python" <<SCRIPT
#!/bin/sh
exec "$emulator" -cpu "\${FMX_CPU:-$default_cpu}" -L "$folder/system" $* \\
    -E FMX_PYTHON="$bin/python" "$folder/system/usr/bin/python3.11" "\$@"
SCRIPT
    cat >"$bin/fmx-run" <<SCRIPT
#!/bin/sh
exec "$bin/python" -m fmx_runtime.command.main "\$@"
SCRIPT
    chmod +x "$bin"/*
}

tests=(pytest pytest-timeout hypothesis)
packages=$folder/system/usr/lib/python3/dist-packages
if [[ $architecture == arm64 ]]; then
    default_cpu=cortex-a76 # Raspberry Pi 5
    emulator=$folder/qemu/usr/bin/qemu-aarch64
    debian=(python3.11 libstdc++6)
    platforms=(manylinux_2_34_aarch64 manylinux_2_28_aarch64 manylinux_2_27_aarch64
        manylinux_2_17_aarch64 manylinux2014_aarch64)
else
    default_cpu=cortex-a7 # Raspberry Pi 2; newer ones run the same programs
    emulator=$folder/qemu/usr/bin/qemu-arm
    debian=(python3.11 python3-numpy python3-pil libstdc++6)
    platforms=(manylinux_2_34_armv7l)
fi

unpack "$architecture" bookworm "$folder/system" "${debian[@]}" &
# QEMU 7.2 of bookworm crashes with the interpreters of today
unpack "$(dpkg --print-architecture)" trixie "$folder/qemu" qemu-user &
wait %1
wait %2
find "$folder/qemu" -type f ! -path "$emulator" -delete # the other 40 processors

if [[ $architecture == arm64 ]]; then
    wheels "$packages" "${platforms[@]}" -- -c "$here/constraints.txt" \
        numpy pillow ai-edge-litert onnxruntime onnx watchdog opencv-python-headless "${tests[@]}"
    wheels "$folder/old/packages" "${platforms[@]}" -- tflite-runtime==2.14.0 'numpy<2' pillow
    command_of "$folder" "$emulator"
    command_of "$folder/old" "$emulator" -E PYTHONPATH="$folder/old/packages:$here/runtime"
else
    wheels "$packages" "${platforms[@]}" -- --no-deps tflite-runtime==2.14.0
    wheels "$packages" any -- "${tests[@]}" # unpinned: the newest ones of pure Python
    # where Debian's alternatives system, which did not run, would link from
    libraries=$folder/system/usr/lib/arm-linux-gnueabihf
    command_of "$folder" "$emulator" -E LD_LIBRARY_PATH="$libraries/blas:$libraries/lapack"
fi
# the checkout itself, and a name under which this Python can start itself again
printf '%s\n' "$here"/{runtime,export,training} >"$packages/fmx.pth"
echo 'import os, sys; sys.executable = os.environ.get("FMX_PYTHON", sys.executable)' \
    >"$packages/fmx_emulated.pth"

"$folder/bin/python" -c 'import platform; print(platform.machine(), platform.python_version())'
echo "$inputs" >"$folder/ready"
