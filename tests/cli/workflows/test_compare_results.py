"""Regression limits and unreadable results in ``fmx bench compare``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Completed = subprocess.CompletedProcess[str]


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
def test_limits_decide_the_exit_code(  # noqa: PLR0917
    fmx_in_process: Callable[..., Completed],
    reference_result: Path,
    worse: Path,
    limits: tuple[str, ...],
    code: int,
    messages: list[str],
) -> None:
    """The exit code is 0 if all limits hold, 1 if one is broken, 3 if one cannot be judged."""
    options = [word for limit in limits for word in ("--fail-if", limit)]
    done = fmx_in_process("bench", "compare", reference_result, worse, *options)
    assert done.returncode == code
    assert all(message in done.stderr for message in messages)


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
    fmx_in_process: Callable[..., Completed],
    reference_result: Path,
    tmp_path: Path,
    content: bytes | None,
    message: str,
) -> None:
    """A missing file, other content and another schema give one line that names the file."""
    path = tmp_path / "new.json"
    if content is not None:
        path.write_bytes(content)
    done = fmx_in_process("bench", "compare", reference_result, path)
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
