"""Frozen dataclasses <-> JSON, each value checked against its type on the way in.

Standard library only: the device reads model metadata with it, the host its runs and reports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import reprlib
import types
import typing
from typing import Any, Literal, TypeVar

__all__ = ["CodecError", "decode", "dump", "encode", "parse"]

_T = TypeVar("_T")


class CodecError(ValueError):
    """What is wrong with a JSON document, worded to follow its name: ``lacks 'input.width'``."""


def encode(value: Any, *, indent: int | None = None) -> str:
    """A dataclass as JSON, keys sorted: equal values give equal text."""
    return dump(dataclasses.asdict(value), indent=indent)


def dump(data: dict[str, Any], *, indent: int | None = None) -> str:
    """A JSON object as text, see `encode`."""
    return json.dumps(
        data,
        sort_keys=True,
        ensure_ascii=False,
        indent=indent,
        separators=(",", ":") if indent is None else None,
    )


def parse(text: str) -> dict[str, Any]:
    """JSON text as an object.

    Raises:
        CodecError: no JSON, or another kind of value.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise CodecError(f"is no JSON: {error}") from error
    except RecursionError as error:
        raise CodecError("is no JSON: nested too deeply") from error
    if not isinstance(data, dict):
        raise CodecError("is no JSON object")
    return data


def decode(kind: type[_T], data: dict[str, Any], where: str = "") -> _T:
    """Build the dataclass ``kind`` from a JSON object; unknown keys are passed over.

    Args:
        kind: a dataclass of str, int, float, bool, Literal, tuple[X, ...], dict[str, X], X | None
            and other dataclasses.
        data: as `parse` gives it.
        where: prefix of the fields' names in messages.

    Raises:
        CodecError: a value is missing or of another type.
    """
    hints = typing.get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        place = f"{where}{field.name}"
        if field.name in data:
            values[field.name] = _checked(hints[field.name], data[field.name], place)
        elif field.default is dataclasses.MISSING:
            raise CodecError(f"lacks '{place}'")
    return kind(**values)


def _checked(hint: Any, value: Any, place: str) -> Any:
    """``value`` as an instance of the type ``hint``, or a `CodecError` that names the place."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _checked(arguments[0], value, place)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return decode(hint, value, f"{place}.")  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_checked(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _checked(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if origin is Literal and any(type(value) is type(x) and value == x for x in arguments):
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if type(value) is hint:
        return value
    expected = hint.__name__ if isinstance(hint, type) else str(hint)
    raise CodecError(f"says {reprlib.repr(value)[:60]} at {place!r}, expected {expected}")
