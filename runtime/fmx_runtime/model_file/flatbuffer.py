"""Read tables of a FlatBuffers file, which is what TFLite models and their metadata are.

Only what `fmx_runtime.model_file.external_model` needs; the ``flatbuffers`` package is not a
dependency of the device. Offsets that lead out of the file raise `struct.error` or `IndexError`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Table"]

_MAX_FLOATS = 4
"""No more values of a vector are read: no image has more channels."""


class Table:
    """A table of a flatbuffer; a field that is left out reads as empty or 0.

    Fields are named by their number ("slot") in the schema: 0 for the first one.
    """

    def __init__(self, data: bytes, offset: int) -> None:
        """Read the table that begins at ``offset`` of ``data``."""
        self._data = data
        self._offset = offset

    @classmethod
    def root(cls, data: bytes) -> Table:
        """Return the table that a whole flatbuffer begins with."""
        return cls(data, *struct.unpack_from("<I", data))

    def number(self, kind: str, slot: int) -> int:
        """Return an integer field.

        Args:
            kind: its type, as `struct` writes it: ``B``, ``I`` and so on.
            slot: the field's number.
        """
        position = self._field(slot)
        return int(struct.unpack_from(f"<{kind}", self._data, position)[0]) if position else 0

    def table(self, slot: int) -> Table:
        """Return the table that a field refers to."""
        return Table(self._data, self._follow(self._field(slot)))

    def tables(self, slot: int) -> Iterator[Table]:
        """Yield the tables of a field that is a vector of tables."""
        start, size = self._vector(slot)
        for position in range(start, min(start + 4 * size, len(self._data)), 4):
            yield Table(self._data, self._follow(position))

    def content(self, slot: int) -> bytes:
        """Return the bytes of a field that is a string or a vector of bytes."""
        start, size = self._vector(slot)
        return self._data[start : start + size]

    def floats(self, slot: int) -> tuple[float, ...]:
        """Return the values of a field that is a vector of float32, at most four of them."""
        start, size = self._vector(slot)
        return struct.unpack_from(f"<{min(size, _MAX_FLOATS)}f", self._data, start)

    def _vector(self, slot: int) -> tuple[int, int]:
        """Return the position of a vector's first item, and the number of its items."""
        position = self._field(slot)
        if not position:
            return 0, 0
        start = self._follow(position)
        return start + 4, int(struct.unpack_from("<I", self._data, start)[0])

    def _follow(self, position: int) -> int:
        """Return where the offset at ``position`` leads."""
        return position + int(struct.unpack_from("<I", self._data, position)[0])

    def _field(self, slot: int) -> int:
        """Return the position of a field, 0 if it is left out."""
        (back,) = struct.unpack_from("<i", self._data, self._offset)
        layout = self._offset - back  # the "vtable", which says where each field lies
        entry = 4 + 2 * slot
        if entry >= struct.unpack_from("<H", self._data, layout)[0]:
            return 0
        relative = int(struct.unpack_from("<H", self._data, layout + entry)[0])
        return relative and self._offset + relative
