"""Convert frozen dataclasses to JSON and back, and check each value's type when reading.

Standard library only: the device reads model metadata with it, the host its runs and reports.
"""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
import types
import typing
from typing import Any, Literal, NoReturn, TypeVar

__all__ = ["CodecError", "decode", "dump", "encode", "parse"]

_T = TypeVar("_T")

_MAX_VALUE_CHARACTERS = 60
"""A wrong value is cut in messages."""


class CodecError(ValueError):
    """A JSON document is wrong. Messages follow the document's name: ``lacks 'input.width'``."""


def encode(value: Any, *, indent: int | None = None) -> str:
    """Return a dataclass as JSON text, see `dump`."""
    return dump(dataclasses.asdict(value), indent=indent)


def dump(data: dict[str, Any], *, indent: int | None = None) -> str:
    """Return a JSON object as text with sorted keys: equal objects give equal text.

    Args:
        data: an object that JSON can hold.
        indent: spaces for each level; None writes one line without any spaces.

    Raises:
        CodecError: a number is NaN or infinite, which JSON cannot hold.
    """
    try:
        return json.dumps(
            data,
            sort_keys=True,
            ensure_ascii=False,
            allow_nan=False,
            indent=indent,
            separators=(",", ":") if indent is None else None,
        )
    except ValueError as error:
        raise CodecError("holds NaN or infinity, which JSON cannot") from error


def parse(text: str) -> dict[str, Any]:
    """Return the object that JSON text holds.

    Raises:
        CodecError: the text is not JSON, or holds another kind of value. ``NaN`` and ``Infinity``,
            which Python's own reader accepts, are not JSON.
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise CodecError(f"is not JSON: {error}") from error
    except RecursionError as error:
        raise CodecError("is not JSON: nested too deeply") from error
    if not isinstance(data, dict):
        raise CodecError("is not a JSON object")
    return data


def decode(kind: type[_T], data: dict[str, Any], where: str = "") -> _T:
    """Build the dataclass ``kind`` from a JSON object; unknown keys are ignored.

    Args:
        kind: a dataclass of str, int, float, bool, Literal, tuple[X, ...], dict[str, X], X | None
            and other dataclasses.
        data: as `parse` returns it.
        where: prefix of the fields' names in messages.

    Raises:
        CodecError: a value is missing or of another type, or a float is NaN or infinite.
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


def _refuse_constant(name: str) -> NoReturn:
    """Raise a ValueError for ``NaN``, ``Infinity`` or ``-Infinity``."""
    raise ValueError(f"{name} is not a JSON number")


def _checked(hint: Any, value: Any, place: str) -> Any:
    """Return ``value`` as an instance of the type ``hint``.

    Raises:
        CodecError: it is none; the message names ``place``.
    """
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
    if hint is float:
        number = _finite_float(value)
        if number is not None:
            return number
    elif type(value) is hint:
        return value
    expected = hint.__name__ if isinstance(hint, type) else str(hint)
    found = reprlib.repr(value)[:_MAX_VALUE_CHARACTERS]
    raise CodecError(f"has {found} at {place!r}, expected {expected}")


def _finite_float(value: Any) -> float | None:
    """Return a JSON number as a float, or None if it is no number or no finite one."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None
