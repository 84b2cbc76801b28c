"""``fmx demo``: run the other commands one after the other."""

from typing import Annotated

import typer

from fmx_cli.parsing.options import DataDir

__all__ = ["demo"]


def demo(
    full: Annotated[
        bool, typer.Option("--full", help="Train for all epochs of the recipe, not only a few.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Run everything once: data, train, export, bench, fmx-run."""
    from fmx_cli.workflows.demo import run_demo

    run_demo(full=full, data_dir=data_dir)
