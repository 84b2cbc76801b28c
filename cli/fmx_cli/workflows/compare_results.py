"""Compare two benchmark results and check regression limits, as ``fmx bench compare`` does."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fmx_benchmarks.report.comparison import describe_verdict
from fmx_benchmarks.statistics.compare import compare
from fmx_benchmarks.statistics.regression_limits import judge, parse
from fmx_cli.output.comparison import print_comparison
from fmx_cli.output.terminal import note
from fmx_runtime.bench.result import Result
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["compare_results"]


def compare_results(old: Path, new: Path, limits: Sequence[str]) -> None:
    """Print what changed; exit with 1 if a limit is broken, with 3 if one cannot be judged.

    Args:
        old: a ``result.json``.
        new: another.
        limits: see `fmx_benchmarks.statistics.regression_limits.parse`.

    Raises:
        DataError: A file is not a benchmark result, or a limit cannot be read.
    """
    parsed = [parse(text) for text in limits]
    comparison = compare(_read(old), _read(new))
    print_comparison(comparison)
    verdicts = [judge(limit, comparison) for limit in parsed]
    for verdict in verdicts:
        for line in describe_verdict(verdict):
            note(line)
    code = max((verdict.exit_code for verdict in verdicts), default=0)
    if code:
        sys.exit(code)


def _read(path: Path) -> Result:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"'{path}' is not a benchmark result: it is not text") from error
    try:
        return Result.from_json(text)
    except DataError as error:
        raise DataError(f"'{path}': {error}") from error
