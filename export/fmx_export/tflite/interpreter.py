"""Helpers around LiteRT's interpreter for calibration and quantization."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING

from ai_edge_litert.interpreter import Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["input_name", "quiet"]


def input_name(model: bytes) -> str:
    """Return the name of a TFLite model's input tensor."""
    name: str = Interpreter(model_content=model).get_input_details()[0]["name"]
    return name


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warning about memory for preserved tensors, and progress bars on stderr."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)
        yield
