"""``fmx bench compare``, on the samples of the reference report."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_benchmarks.statistics.metrics import METRICS
from fmx_cli import compare as command
from fmx_runtime.bench.result import Failure, Result

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Completed = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "benchmarks" / "reference" / "result.json"


@pytest.fixture
def worse(tmp_path: Path) -> Path:
    """The reference with a slower TFLite int8 file, without ONNX int8, and with a reason for it."""
    result = Result.from_json(REFERENCE.read_text("utf-8"))
    (run,) = result.runs
    slow = tuple(
        dataclasses.replace(one, latencies_us=tuple(1.3 * us for us in one.latencies_us))
        for one in run.variants[3].rounds
    )
    forged = dataclasses.replace(run.variants[3], rounds=slow)
    failure = Failure(name="baseline.int8.onnx", reason="it is damaged [again]")
    changed = dataclasses.replace(
        run, variants=(*run.variants[:3], forged), failures=(failure,)
    )  # fmt: skip
    path = tmp_path / "worse.json"
    path.write_text(dataclasses.replace(result, runs=(changed,)).to_json(), "utf-8")
    return path


def test_the_table(fmx_in_process: Callable[..., Completed], worse: Path) -> None:
    """Each change has its interval and its mark in 80 columns; what is gone or failed is told."""
    done = fmx_in_process("bench", "compare", REFERENCE, worse)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    row = r"latency_p50 +[\d.]+ µs +[\d.]+ µs \+30\.00 % +\+[\d.]+ to \+[\d.]+ \*\n"
    assert len(re.findall(row, done.stdout)) == 1
    assert done.stdout.count("*") == 5  # three percentiles, the speed, and what the mark means
    assert "ONNX int8 is not in the new result" in done.stdout
    assert "not measured: baseline.int8.onnx: it is damaged [again]" in done.stdout
    assert not done.stderr
    assert set(command._FIGURES) == set(METRICS)


@pytest.mark.parametrize(
    ("limits", "code", "said"),
    [
        (("tflite: accuracy < -0.2",), 0, ["passed: 'tflite: accuracy < -0.2'"]),
        (
            ("tflite: size > 0%", "tflite: latency_p50 > +10%"),
            1,
            ["passed: 'tflite: size > 0%'", "failed: 'tflite: latency_p50 > +10%': TFLite int8: "],
        ),
        (
            ("latency_p50 > +10%",),
            3,
            ["failed: ", "cannot be judged: 'latency_p50 > +10%': ONNX int8 is not in the new "],
        ),
    ],
)
def test_limits_decide_the_exit_code(
    fmx_in_process: Callable[..., Completed],
    worse: Path,
    limits: tuple[str, ...],
    code: int,
    said: list[str],
) -> None:
    """0 if all limits hold, 1 if one is broken, 3 if one cannot be judged; each says so."""
    options = [word for limit in limits for word in ("--fail-if", limit)]
    done = fmx_in_process("bench", "compare", REFERENCE, worse, *options)
    assert done.returncode == code
    assert all(words in done.stderr for words in said)


def test_equal_files_give_equal_words(
    fmx_in_process: Callable[..., Completed], worse: Path
) -> None:
    """The bootstrap draws the same rounds every time."""
    first, second = (fmx_in_process("bench", "compare", REFERENCE, worse) for _ in range(2))
    assert first.stdout == second.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"new\.json' cannot be read: No such file"),
        (b"\xff\xfe\x00", r"new\.json' is no benchmark result: it is no text"),
        (b"rubbish", r"new\.json': the benchmark result is not JSON"),
        (b'{"schema": 1}', "has schema 1, this version of fmx reads 2: measure again"),
        (b'{"schema": 3}', "has schema 3, this version of fmx reads 2: measure again"),
        (b'{"schema": 2}', "lacks 'data'"),
    ],
)
def test_what_is_no_result(
    fmx_in_process: Callable[..., Completed], tmp_path: Path, content: bytes | None, message: str
) -> None:
    """A missing file, rubbish, and another schema are one line that names the file."""
    path = tmp_path / "new.json"
    if content is not None:
        path.write_bytes(content)
    done = fmx_in_process("bench", "compare", REFERENCE, path)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("fmx: '")
    assert re.search(message, done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_limit_is_told_before_files_are_read(
    fmx_in_process: Callable[..., Completed],
) -> None:
    """What the limit should be like is said, whatever the files are."""
    done = fmx_in_process("bench", "compare", "nothing", "nothing", "--fail-if", "speed > 3%")
    assert done.returncode == 1
    assert "there is no 'speed'; choose accuracy, " in done.stderr


def test_the_page_names_every_metric_and_its_limits_are_some(
    fmx_in_process: Callable[..., Completed], worse: Path
) -> None:
    """docs/ci-gate.md has each metric in its table, and each limit that it shows can be read."""
    text = (ROOT / "docs" / "ci-gate.md").read_text("utf-8")
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", rows)) == set(METRICS)
    limits = re.findall(r"--fail-if '([^']+)'", text)
    assert limits
    done = fmx_in_process(
        "bench", "compare", worse, worse, *(word for one in limits for word in ("--fail-if", one))
    )
    assert done.stderr.count("passed") + done.stderr.count("cannot be judged") == len(limits)
