"""The command ``fmx``: registers its sub-commands.

Results go to stdout, everything else to stderr. Each sub-command is a separate module, which
imports heavy libraries only when it runs, so that ``fmx --help`` is fast.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys

import typer

from fmx_cli.bench import bench
from fmx_cli.compare import compare
from fmx_cli.data import data
from fmx_cli.demo import demo
from fmx_cli.export import EPILOG, export
from fmx_cli.inspect import inspect
from fmx_cli.parsing.commands import Command, CommandGroup
from fmx_cli.train import train
from fmx_runtime.errors import FmxError
from fmx_training.process_setup import enable_onednn

__all__ = ["app", "main"]

app = typer.Typer(
    name="fmx",
    cls=CommandGroup,
    help="Train an image classifier, export it to int8 TFLite and ONNX, and benchmark the files.",
    epilog="'fmx COMMAND --help' shows the options of a command.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: drawing boxes would double the time it takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("data", cls=Command)(data)
app.command("train", cls=Command)(train)
app.command("export", cls=Command, epilog=EPILOG)(export)
app.command("inspect", cls=Command)(inspect)
app.command(
    "bench",
    cls=Command,
    epilog="'fmx bench compare OLD.json NEW.json' compares two results.",
)(bench)
app.command("bench compare", cls=Command)(compare)
app.command("demo", cls=Command)(demo)


def main() -> None:
    """Run the command; print a known error as one line on stderr and exit with its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    enable_onednn()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the terminal may lack characters of a label
    try:
        app(prog_name="fmx")
    except FmxError as error:
        print(f"fmx: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # such as a full disk behind `> file`
        print(f"fmx: {error}", file=sys.stderr)
        with contextlib.suppress(ValueError):  # a stream in memory has no descriptor
            # otherwise Python would try to write the rest again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
