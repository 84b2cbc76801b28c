"""Run one command line: do the job, write its results, and return the exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fmx_runtime.command.messages import print_message

if TYPE_CHECKING:
    import argparse

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Run a command line and return its exit code.

    Args:
        options: see `fmx_runtime.command.arguments.parse_arguments`.

    Raises:
        FmxError: the model cannot be used, or the results cannot be written.
        OSError: writing to stdout failed.
    """
    if "bench" in options:
        from fmx_runtime.bench.command import bench

        return bench(options, print_message)
    from fmx_runtime.command.image_jobs import create_job
    from fmx_runtime.command.progress import Progress
    from fmx_runtime.command.writers import open_writer

    job = create_job(options)
    exit_code = 0
    with open_writer(options.format, job.columns, live=job.is_live) as writer:
        results_on_terminal = sys.stdout.isatty()
        progress = Progress(
            sys.stderr if job.count_results else None, job.count_results or (lambda: None)
        )
        try:
            for result in job.results:
                if results_on_terminal or result.error:
                    progress.clear()
                writer.write(result)
                if result.error:
                    print_message(result.error)
                exit_code = max(exit_code, result.exit_code)
                progress.step()
        finally:
            progress.end(keep=not results_on_terminal)
    return exit_code
