"""All that a model file says of itself: its card, whether it is whole, and its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmx_export.graph import Graph, read_graph
from fmx_runtime.card import CARD_KEY, ModelCard
from fmx_runtime.carrier import read_card, read_model
from fmx_runtime.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Inspection", "Verdict", "inspect_file"]

Verdict = Literal["whole", "damaged", "card unreadable", "no card"]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in one file."""

    file: str
    size_bytes: int
    verdict: Verdict
    """By the card's checksums, its own and the model's; ``no card`` is what other tools write."""
    problem: str | None
    """What is wrong and what to do, in a line; None for a file that is whole, or has no card."""
    card: ModelCard | None
    graph: Graph


def inspect_file(path: Path) -> Inspection:
    """Read a ``.tflite`` or ``.onnx`` file, written by ``fmx export`` or by another tool.

    A file whose checksum differs is read all the same, as far as its graph can be.

    Args:
        path: of the file.

    Raises:
        ModelFileError: it cannot be read, is no model, or its graph is damaged.
    """
    content = _read(path)
    try:
        graph = read_graph(content)
    except ModelFileError as error:
        raise ModelFileError(f"'{path}': {error}") from error
    verdict, problem, card = _judge(content)
    return Inspection(
        file=path.name,
        size_bytes=len(content),
        verdict=verdict,
        problem=problem,
        card=card,
        graph=graph,
    )


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise ModelFileError(f"'{path}' is a folder; give a .tflite or .onnx file")
    return read_model(path)


def _judge(content: bytes) -> tuple[Verdict, str | None, ModelCard | None]:
    """The verdict, why, and the card where it can be read."""
    try:
        text = read_card(content)
    except ModelFileError as error:
        # of a card that was cut off the name is left
        if CARD_KEY.encode() in content:
            return "damaged", str(error), None
        return "no card", None, None
    try:
        card = ModelCard.from_json(text)
    except ModelFileError as error:
        return "card unreadable", str(error), None
    try:
        card.check_model(content)
    except ModelFileError as error:
        return "damaged", str(error), card
    return "whole", None, card
