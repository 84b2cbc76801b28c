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
OLD = [f"{DEVICE}/test_{name}.py" for name in ("old_interpreter", "same_pixels")]
PIXELS = [f"tests/runtime/test_{name}.py" for name in ("decode", "preprocess", "photo")]
REST = [f"tests/runtime/test_{name}.py" for name in ("metadata", "container", "images", "stream")]
LEFT_OUT = {
    "test_cli.py": "a hundred processes of three emulated seconds; device/test_command.py has some",
    "test_probe.py": "likewise",
    "bench/test_command.py": "likewise",
    "test_hostile_models.py": "minutes of mutated files, to which no processor matters",
    "test_hostile_images.py": "likewise",
    "test_external.py": "its models are made by Keras, which is not on the device",
    "test_container.py::test_no_flipped_bit_of_a_metadata_goes_unnoticed": "each bit there is, likewise",
    "test_images.py::test_a_folder_deeper_than_calls_can_be": "a thousand folders, likewise",
    "test_self_test.py::test_where_it_was_made": "not here; device/test_same_answers.py has it",
}
# by device and processor: which Python, and which tests
DEVICES = {
    "arm64": {
        # between them all of the runtime's tests: both cores of this machine have work
        "cortex-a76": (
            "bin",
            [DEVICE, "tests/runtime", *map("--ignore={}".format, PIXELS + REST)],
        ),
        "cortex-a72": ("bin", [DEVICE, *PIXELS, *REST]),
        "cortex-a53": ("old/bin", OLD),
    },
    "armhf": {
        "cortex-a7": ("bin", [*OLD, f"{DEVICE}/test_command.py"]),
        # a process of its own: tflite-runtime's library takes tiny floats for zero, for all who run
        # beside it, and Hypothesis refuses to work so
        "max": ("bin", PIXELS),
    },
}


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
        ignored = [
            f"--{'deselect' if '::' in name else 'ignore'}=tests/runtime/{name}"
            for name in LEFT_OUT
        ]
        command = [device / python / "python", "-m", "pytest", "-p", "no:cacheprovider"]
        options = ["-rs", "--durations=10", f"--basetemp={folder / 'tests'}"]
        with log.open("wb") as stream:
            begun[cpu] = (
                subprocess.Popen(
                    [*command, *options, *ignored, *tests],
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
