"""Messages of the command on stderr."""

from __future__ import annotations

import sys

__all__ = ["print_message", "printable"]


def print_message(message: object) -> None:
    """Print a message on one line of stderr, if there is a stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"fmx-run: {printable(str(message))}\n")
        sys.stderr.flush()


def printable(text: str) -> str:
    """Return text on one line, with escapes for characters that would affect a terminal."""
    if text.isprintable():
        return text
    return "".join(_printable_character(character) for character in text)


def _printable_character(character: str) -> str:
    import unicodedata

    is_space = unicodedata.category(character) == "Zs"
    if character.isprintable() or is_space:
        return character
    return character.encode("unicode_escape").decode("ascii")
