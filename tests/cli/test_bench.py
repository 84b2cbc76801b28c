"""``fmx bench``: its options, as far as the errors show them, and one small benchmark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.bench.result import Result
from fmx_runtime.labeled_images import LabeledImages, save
from fmx_runtime.model_file.default_model import SHIPPED

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from fmx_training.data.dataset import Splits

    Completed = subprocess.CompletedProcess[str]


@pytest.fixture
def images(splits: Splits, tmp_path: Path) -> Path:
    """30 real test images in the working folder."""
    few = splits.test.balanced_sample(30, 0)
    path = tmp_path / "few.npz"
    save(LabeledImages(few.name, few.images, few.labels, few.class_names), path)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no exported model in 'exports'"),
        (["gone.onnx"], "'gone.onnx' does not exist; give model files or export folders"),
        ([SHIPPED, "gone.onnx"], "'gone.onnx' does not exist"),
        ([SHIPPED, "--images", "gone.npz"], "'gone.npz' does not exist"),
        ([SHIPPED, "--data-dir", "gone"], "'gone' (--data-dir) does not exist"),
        (
            [SHIPPED, "--images", "few.npz", "--device", "ssh://a", "--device", "pi@raspberrypi"],
            "'pi@raspberrypi'",
        ),
        (
            [SHIPPED, "--images", "few.npz", "--resume"],
            "nothing to resume: 'reports/edge/",
        ),
        (
            [SHIPPED, "--images", "few.npz", "--resume", "-o", "mine"],
            "nothing to resume: 'mine/",
        ),
    ],
)
@pytest.mark.usefixtures("images")
def test_options_are_passed_on(
    words: list[str], message: str, fmx_in_process: Callable[..., Completed]
) -> None:
    """Each value reaches the benchmark, which names it in its error before it measures."""
    done = fmx_in_process("bench", *words)
    assert done.returncode == 1
    assert not done.stdout
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("fmx: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--repeats", "0"], "'--repeats'.*greater than or equal to 1"),
        (["--iterations", "0"], "'--iterations'.*greater than or equal to 1"),
        (["--iterations", "many"], "'--iterations'.*valid integer"),
        (["--reference-tools=all"], "'--reference-tools' does not take a value"),
    ],
)
def test_usage_errors(
    words: list[str], message: str, fmx_in_process: Callable[..., Completed], tmp_path: Path
) -> None:
    """Numbers must be positive and switches take no value; nothing is written."""
    done = fmx_in_process("bench", SHIPPED, *words)
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_small_benchmark(
    fmx_in_process: Callable[..., Completed], images: Path, tmp_path: Path
) -> None:
    """The result has the numbers of repeats and iterations that the options name."""
    numbers = ["--repeats", 2, "--iterations", 7]
    done = fmx_in_process("bench", SHIPPED, "--images", images, *numbers, "-o", "mine")
    assert done.returncode == 0, done.stderr
    result = Result.from_json((tmp_path / "mine/result.json").read_text("utf-8"))
    (variant,) = result.runs[0].variants
    assert len(variant.repeats) == 2
    assert {len(repeat.latencies_us) for repeat in variant.repeats} == {7}
    assert done.stdout.splitlines()[-1] == str(Path("mine/report.html"))
