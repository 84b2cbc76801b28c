"""Where the commands print."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["bold", "note", "out", "steps", "watch"]

_T = TypeVar("_T")

out = Console(highlight=False)
"""Results: stdout."""

_err = Console(stderr=True, highlight=False)


def bold(value: object) -> str:
    """A path or a figure as markup in bold, whatever brackets it has in it."""
    return f"[bold]{escape(str(value))}[/]"


def note(message: str) -> None:
    """Say on stderr what is being done."""
    _err.print(message, style="dim", markup=False, soft_wrap=True)


@contextlib.contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """What says each step of a longer work: one line that changes on a terminal, else `note`."""
    if not _err.is_terminal:
        yield note
        return
    with _err.status("") as status:
        yield lambda message: status.update(f"[dim]{escape(message)}[/]")


def watch(items: Iterable[_T], total: int, what: str) -> Iterator[_T]:
    """Pass the items on, with a bar of how many have come; on a terminal only."""
    yield from track(items, what, total, console=_err, transient=True, disable=not _err.is_terminal)
