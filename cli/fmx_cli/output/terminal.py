"""Printing: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["bold", "note", "out", "printable", "progress_bar", "show_steps"]

_T = TypeVar("_T")

out = Console(highlight=False)
"""Prints results to stdout."""

_err = Console(stderr=True, highlight=False)


def bold(value: object) -> str:
    """Return a value as bold markup; brackets in it are kept."""
    return f"[bold]{escape(str(value))}[/]"


def note(message: str) -> None:
    """Print one line to stderr."""
    _err.print(message, style="dim", markup=False, soft_wrap=True)


@contextlib.contextmanager
def show_steps() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the current step: a changing line on a terminal, else `note`."""
    if not _err.is_terminal:
        yield note
        return
    with _err.status("") as status:
        yield lambda message: status.update(f"[dim]{escape(message)}[/]")


def progress_bar(items: Iterable[_T], total: int, description: str) -> Iterator[_T]:
    """Yield the items and show a progress bar, if stderr is a terminal."""
    yield from track(
        items, description, total, console=_err, transient=True, disable=not _err.is_terminal
    )


def printable(text: str) -> str:
    """Return text without control characters, which damaged files may hold."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
