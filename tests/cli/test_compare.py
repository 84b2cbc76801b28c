"""``fmx bench compare``, with the samples of the reference report."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fmx_benchmarks.report.comparison import _VALUE_UNITS
from fmx_benchmarks.statistics.metrics import METRICS
from fmx_runtime.bench.result import Failure, Result

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Completed = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "benchmarks" / "reference" / "result.json"


@pytest.fixture
def worse(tmp_path: Path) -> Path:
    """The reference result with a slower TFLite int8 file, and with a failed ONNX int8 file."""
    result = Result.from_json(REFERENCE.read_text("utf-8"))
    (run,) = result.runs
    slow = tuple(
        dataclasses.replace(one, latencies_us=tuple(1.3 * us for us in one.latencies_us))
        for one in run.variants[3].repeats
    )
    slower = dataclasses.replace(run.variants[3], repeats=slow)
    failure = Failure(name="baseline.int8.onnx", reason="it is damaged [again]")
    changed = dataclasses.replace(
        run, variants=(*run.variants[:3], slower), failures=(failure,)
    )  # fmt: skip
    path = tmp_path / "worse.json"
    path.write_text(dataclasses.replace(result, runs=(changed,)).to_json(), "utf-8")
    return path


def test_table(fmx_in_process: Callable[..., Completed], worse: Path) -> None:
    """In 80 columns each change has its interval and its mark; missing and failed models follow."""
    done = fmx_in_process("bench", "compare", REFERENCE, worse)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    row = r"latency_p50 +[\d.]+ µs +[\d.]+ µs \+30\.00 % +\+[\d.]+ to \+[\d.]+ \*\n"
    assert len(re.findall(row, done.stdout)) == 1
    assert done.stdout.count("*") == 5  # three percentiles, the speed, and what the mark means
    assert "ONNX int8 is not in the new result" in done.stdout
    assert "not measured: baseline.int8.onnx: it is damaged [again]" in done.stdout
    assert not done.stderr
    assert set(_VALUE_UNITS) == set(METRICS)


@pytest.mark.parametrize(
    ("limits", "code", "messages"),
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
    messages: list[str],
) -> None:
    """The exit code is 0 if all limits hold, 1 if one is broken, 3 if one cannot be judged."""
    options = [word for limit in limits for word in ("--fail-if", limit)]
    done = fmx_in_process("bench", "compare", REFERENCE, worse, *options)
    assert done.returncode == code
    assert all(message in done.stderr for message in messages)


def test_output_is_reproducible(fmx_in_process: Callable[..., Completed], worse: Path) -> None:
    """The bootstrap draws the same samples every time."""
    first, second = (fmx_in_process("bench", "compare", REFERENCE, worse) for _ in range(2))
    assert first.stdout == second.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"new\.json' cannot be read: No such file"),
        (b"\xff\xfe\x00", r"new\.json' is not a benchmark result: it is not text"),
        (b"rubbish", r"new\.json': the benchmark result is not JSON"),
        (b'{"schema": 2}', "has schema 2, this version of fmx reads 3: measure again"),
        (b'{"schema": 4}', "has schema 4, this version of fmx reads 3: measure again"),
        (b'{"schema": 3}', "lacks 'data'"),
    ],
)
def test_not_a_result(
    fmx_in_process: Callable[..., Completed], tmp_path: Path, content: bytes | None, message: str
) -> None:
    """A missing file, other content and another schema give one line that names the file."""
    path = tmp_path / "new.json"
    if content is not None:
        path.write_bytes(content)
    done = fmx_in_process("bench", "compare", REFERENCE, path)
    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.startswith("fmx: '")
    assert re.search(message, done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_invalid_limit(
    fmx_in_process: Callable[..., Completed],
) -> None:
    """An invalid limit is reported before the files are read."""
    done = fmx_in_process("bench", "compare", "nothing", "nothing", "--fail-if", "speed > 3%")
    assert done.returncode == 1
    assert "there is no metric 'speed'; choose accuracy, " in done.stderr


def test_document(fmx_in_process: Callable[..., Completed], worse: Path) -> None:
    """docs/regression-limits.md lists each metric, and each limit in it is valid."""
    text = (ROOT / "docs" / "regression-limits.md").read_text("utf-8")
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", rows)) == set(METRICS)
    limits = re.findall(r"--fail-if '([^']+)'", text)
    assert limits
    done = fmx_in_process(
        "bench", "compare", worse, worse, *(word for one in limits for word in ("--fail-if", one))
    )
    assert done.stderr.count("passed") + done.stderr.count("cannot be judged") == len(limits)
