"""JSON values -> frozen dataclasses, each value checked against its annotation."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

from fmx_runtime.errors import DataError

__all__ = ["decode"]

_T = TypeVar("_T")


def decode(kind: type[_T], document: dict[str, Any], where: str = "") -> _T:
    """Build a dataclass from a JSON object; unknown keys are passed over.

    Args:
        kind: the dataclass.
        document: its fields.
        where: the object's place in the whole document, for messages.

    Raises:
        DataError: a value is missing or of another type than its annotation.
    """
    hints = typing.get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        place = f"{where}{field.name}"
        if field.name in document:
            values[field.name] = _checked(hints[field.name], document[field.name], place)
        elif field.default is dataclasses.MISSING:
            raise DataError(f"the benchmark result lacks '{place}'; measure again")
    return kind(**values)


def _checked(hint: Any, value: Any, place: str) -> Any:
    """``value`` as an instance of the type ``hint``, or a `DataError` that names the place."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType and value is None:
        return None
    if origin is types.UnionType:
        return _checked(arguments[0], value, place)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return decode(hint, value, f"{place}.")  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_checked(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _checked(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if origin is Literal and isinstance(value, str) and value in arguments:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str) and isinstance(value, hint) and not isinstance(value, bool):
        return value
    raise DataError(f"the benchmark result's '{place}' is {value!r:.60}, which is not as expected")
