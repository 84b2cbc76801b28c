"""``fmx inspect``: show what a model file holds."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["inspect"]


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite or .onnx file.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show a model file's metadata, operators and costs.

    The file need not have been written by fmx. If it is damaged, what can be read is shown, and
    the exit code is 3.
    """
    from fmx_cli.output.inspection import print_inspection
    from fmx_cli.output.terminal import out
    from fmx_export.pipeline.inspect import inspect_file
    from fmx_runtime.errors import ModelFileError
    from fmx_runtime.support import json_codec

    inspection = inspect_file(model)
    if json:
        out.out(json_codec.encode(inspection, indent=2), highlight=False)
    else:
        print_inspection(inspection)
    if inspection.problem:
        raise ModelFileError(f"'{model}': {inspection.problem}")
