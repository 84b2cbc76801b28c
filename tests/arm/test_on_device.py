"""The host's side: the runtime's own tests, and the comparison, on an emulated device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(1800)  # an emulator is slow, and slower beside other tests

ROOT = Path(__file__).parents[2]
DEVICE = "tests/arm/device"
RUNTIME = "tests/runtime"
OLD = [f"{DEVICE}/test_{name}.py" for name in ("old_interpreter", "same_pixels")]
IMAGES = [
    f"{RUNTIME}/images/test_{name}.py" for name in ("decode", "preprocess", "garment_segmentation")
]
# not run on an emulated processor even with ALL=1: by path below tests/runtime
LEFT_OUT = {
    "command/test_main.py": "a hundred processes of 3 s each; device/test_command.py has some",
    "model_file/test_sandbox.py": "likewise",
    "bench/test_command.py": "likewise",
    "bench/test_session.py": "likewise",
    "bench/test_process.py": "likewise",
    "model_file/test_hostile_models.py": "minutes of damaged files; the processor does not matter",
    "images/test_hostile_images.py": "likewise",
    "model_file/test_external_model.py": "Keras makes its models, and the device has no Keras",
    "model_file/test_specification.py": "ONNX files are made by packages the device does not have",
}
# by device and processor: which Python, and which tests of each change
DEVICES = {
    "arm64": {
        # both cores of this machine have work
        "cortex-a76": (
            "bin",
            [DEVICE, *(f"{RUNTIME}/backends/test_{name}.py" for name in ("litert", "onnxruntime"))],
        ),
        "cortex-a72": ("bin", [f"{DEVICE}/test_same_pixels.py"]),
        "cortex-a53": ("old/bin", OLD),
    },
    "armhf": {
        "cortex-a7": ("bin", [*OLD, f"{DEVICE}/test_command.py"]),
        # a process of its own: tflite-runtime's library flushes tiny floats to zero for all that
        # runs beside it, and Hypothesis refuses to work so
        "max": ("bin", IMAGES),
    },
}
EXHAUSTIVE = bool(os.environ.get("FMX_DEVICE_ALL"))
if EXHAUSTIVE:  # all of the runtime's tests, shared between two processors
    DEVICES["arm64"]["cortex-a76"] = (
        "bin",
        [
            DEVICE,
            *(f"{RUNTIME}/{name}" for name in ("backends", "bench", "sources", "support")),
            f"{RUNTIME}/test_classifier.py",
        ],
    )
    DEVICES["arm64"]["cortex-a72"] = (
        "bin",
        [
            DEVICE,
            *(f"{RUNTIME}/{name}" for name in ("command", "images", "model_file")),
            *(f"{RUNTIME}/test_{name}.py" for name in ("errors", "init")),
        ],
    )


def test_paths() -> None:
    """Each test that is chosen or left out exists, so none goes missing in silence."""
    chosen = {path for device in DEVICES.values() for _, paths in device.values() for path in paths}
    for path in chosen | {f"{RUNTIME}/{name}" for name in LEFT_OUT}:
        assert (ROOT / path).exists(), path


@pytest.fixture(scope="module")
def runs(
    device: Path, prepare: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[subprocess.Popen[bytes], Path]]]:
    """The tests on each processor, begun at the same time."""
    prepared = prepare()
    begun = {}
    for cpu, (python, tests) in DEVICES[device.name].items():
        folder = tmp_path_factory.mktemp(cpu)
        log = folder / "log.txt"
        ignored = [f"--ignore={RUNTIME}/{name}" for name in LEFT_OUT]
        marked = [] if EXHAUSTIVE else ["-m", "not slow"]
        command = [device / python / "python", "-m", "pytest", "-p", "no:cacheprovider"]
        options = ["-rs", "--durations=10", f"--basetemp={folder / 'tests'}"]
        with log.open("wb") as stream:
            begun[cpu] = (
                subprocess.Popen(
                    [*command, *options, *marked, *ignored, *tests],
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    cwd=ROOT,
                    env=os.environ | {"FMX_CPU": cpu, "FMX_PREPARED": str(prepared)},
                ),
                log,
            )
    yield begun
    for process, _ in begun.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize("cpu", ["cortex-a76", "cortex-a72", "cortex-a53", "cortex-a7", "max"])
def test_a_processor(
    cpu: str,
    runs: dict[str, tuple[subprocess.Popen[bytes], Path]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All tests pass on that processor; none is left out without being named."""
    if cpu not in runs:
        pytest.skip("a processor of the other device")
    process, log = runs[cpu]
    code = process.wait()
    report = log.read_text("utf-8", "replace")
    with capsys.disabled():
        sys.stdout.write(f"\n{cpu}: {report.strip().splitlines()[-1].strip('= ')}\n")
    assert code == 0, report
