"""Measure on another computer: install the runtime there, run its benchmark, fetch the result."""

from __future__ import annotations

import dataclasses
import io
import shlex
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_benchmarks.measure import runtime_wheel
from fmx_benchmarks.measure.ssh import DeviceError, with_retry
from fmx_runtime.bench.result import Result
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fmx_benchmarks.measure.ssh import Connection, Device

__all__ = ["measure_on_device"]

_MIN_FREE_BYTES = 400_000_000
"""What NumPy, Pillow, an interpreter and their wheels take while they are installed."""
_MACHINES = {"x86_64", "aarch64", "armv7l", "armv8l"}
"""The processors that interpreters have wheels for."""
_PYTHONS = ((3, 10), (3, 13))
"""The oldest and the newest Python that the runtime supports."""

_CHECK_SCRIPT = """
command -v python3 >/dev/null || { echo no-python; exit 0; }
python3 - "$1" <<'END'
import os, platform, shutil, sys
print("python", *sys.version_info[:2])
try:
    import ensurepip, venv
    print("venv")
except ImportError:
    pass
machine = platform.machine()
print("machine", os.popen("uname -m").read().strip() or machine, 64 if sys.maxsize > 2**32 else 32)
print("free", shutil.disk_usage(sys.argv[1]).free)
END
"""


def measure_on_device(
    device: Device,
    files: Sequence[Path],
    images: Path,
    *,
    repeats: int,
    iterations: int,
    progress: Callable[[str], None],
) -> Result:
    """Install the runtime on a device, measure there, fetch the result, and clean up.

    If the connection is lost, all of it is tried once more.

    Args:
        device: where.
        files: model files.
        images: an ``.npz`` file, see `fmx_runtime.labeled_images.read`.
        repeats: see `fmx_runtime.bench.result.Settings`.
        iterations: see `fmx_runtime.bench.result.Settings`.
        progress: called with a line for each step.

    Returns:
        The device's result; the run's ``device`` is the device's name.

    Raises:
        DeviceError: The device cannot be reached, lacks something, or fails.
    """

    def measure(connection: Connection) -> str:
        progress(f"{device}: checking the device")
        _check(connection)
        progress(f"{device}: copying files")
        with tempfile.TemporaryDirectory(prefix="fmx-") as folder:
            _copy(connection, [runtime_wheel.build(Path(folder)), images, *files])
        progress(f"{device}: installing fmx-runtime")
        _install(connection, with_onnx=any(path.suffix == ".onnx" for path in files))
        command = [
            *("venv/bin/fmx-run", "bench", *(f"./{path.name}" for path in files)),
            *("--images", images.name),
            *("--repeats", str(repeats), "--iterations", str(iterations)),
        ]
        _benchmark(connection, command, progress)
        return connection.run("cat result.json", "the result cannot be read")

    text = with_retry(device, measure, progress)
    try:
        result = Result.from_json(text)
    except DataError as error:
        raise DeviceError(f"{device}: {error}") from error
    run = dataclasses.replace(result.runs[0], device=device.name)
    return dataclasses.replace(result, runs=(run,))


def _check(connection: Connection) -> None:
    """Check that the device can run the runtime, before anything is copied.

    Raises:
        DeviceError: It lacks something.
    """
    script = f"sh -s {shlex.quote(connection.folder)}"
    output = connection.run(script, "cannot check the device", _CHECK_SCRIPT.encode())
    facts = {words[0]: words[1:] for words in map(str.split, output.splitlines()) if words}
    if "python" not in facts:
        connection.fail("it has no python3: 'sudo apt install python3 python3-venv' there")
    version = (int(facts["python"][0]), int(facts["python"][1]))
    if not _PYTHONS[0] <= version <= _PYTHONS[1]:
        connection.fail(
            f"it has Python {version[0]}.{version[1]}, fmx-runtime runs on 3.10 to 3.13"
        )
    if "venv" not in facts:
        connection.fail("its Python lacks the module venv: 'sudo apt install python3-venv' there")
    machine, bits = facts["machine"]
    if machine not in _MACHINES:
        connection.fail(f"there is no interpreter for its processor, {machine} ({bits} bit)")
    free = int(facts["free"][0])
    if free < _MIN_FREE_BYTES:
        connection.fail(
            f"its disk is full: {free / 1e6:,.0f} MB are free in '{connection.folder}', "
            f"{_MIN_FREE_BYTES / 1e6:,.0f} are needed; make room, or set TMPDIR there"
        )


def _copy(connection: Connection, files: Sequence[Path]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in files:
            archive.add(path, arcname=path.name)
    connection.run("tar -xf -", "cannot copy", packed.getvalue())


def _install(connection: Connection, *, with_onnx: bool) -> None:
    """Make a virtual environment with the runtime in it."""
    connection.run("python3 -m venv venv", "cannot make a virtual environment")
    pip = "venv/bin/pip install -q --disable-pip-version-check"
    wheel = "$(ls fmx_runtime-*.whl)"
    install = f'{pip} "./{wheel}"'
    if with_onnx:
        # where there is no onnxruntime, TFLite files are measured all the same
        install = f'{pip} "./{wheel}[onnx]" 2>/dev/null || {install}'
    connection.run(install, "cannot install fmx-runtime")


def _benchmark(
    connection: Connection, command: Sequence[str], progress: Callable[[str], None]
) -> None:
    """Run the benchmark and pass on its progress.

    Raises:
        DeviceError: It ends without a result.
    """
    last = "it printed nothing"

    def report(line: str) -> None:
        nonlocal last
        last = line.removeprefix("fmx-run: ") or last
        progress(f"{connection.device}: {last}")

    code = connection.follow(" ".join(map(shlex.quote, command)), report)
    if code not in {0, 1}:  # with 1 some models failed, which the result says
        connection.fail(f"cannot measure: {last}")
