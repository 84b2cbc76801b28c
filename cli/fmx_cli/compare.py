"""``fmx bench compare``: compare two benchmark results."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["compare"]


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD.json", help="The earlier result.json.")],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="The later result.json.")],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT",
            help="Exit with 1 if a significant change is beyond this limit, such as "
            "'latency_p50 > +10%' or 'accuracy < -0.2'; may be repeated.",
        ),
    ] = None,
) -> None:
    """Compare two benchmark results and check regression limits.

    The exit code is 1 if a limit is broken, and 3 if one cannot be judged.
    """
    from fmx_cli.workflows.compare_results import compare_results

    compare_results(old, new, fail_if or [])
