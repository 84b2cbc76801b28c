from __future__ import annotations

import struct

import flatbuffers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.model_file.flatbuffer import Table

NUMBER, TEXT, FLOATS, CHILD, CHILDREN, LEFT_OUT = range(6)


def build() -> bytes:
    """A flatbuffer with one field of each kind, written by the reference implementation."""
    builder = flatbuffers.Builder(256)
    text = builder.CreateString("Stiefel")
    floats = builder.CreateNumpyVector(np.array([0.5, -1.25], np.float32))
    children = []
    for value in (7, 8, 9):
        builder.StartObject(1)
        builder.PrependUint32Slot(NUMBER, value, 0)
        children.append(builder.EndObject())
    builder.StartVector(4, len(children), 4)
    for child in reversed(children):
        builder.PrependUOffsetTRelative(child)
    vector = builder.EndVector()
    builder.StartObject(6)
    builder.PrependUint32Slot(NUMBER, 123_456, 0)
    builder.PrependUOffsetTRelativeSlot(TEXT, text, 0)
    builder.PrependUOffsetTRelativeSlot(FLOATS, floats, 0)
    builder.PrependUOffsetTRelativeSlot(CHILD, children[1], 0)
    builder.PrependUOffsetTRelativeSlot(CHILDREN, vector, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def test_fields_of_each_kind() -> None:
    """Numbers, strings, vectors and tables are read as the reference implementation wrote them."""
    table = Table.root(build())
    assert table.number("I", NUMBER) == 123_456
    assert table.content(TEXT) == b"Stiefel"
    assert table.floats(FLOATS) == (0.5, -1.25)
    assert table.table(CHILD).number("I", NUMBER) == 8
    assert [child.number("I", NUMBER) for child in table.tables(CHILDREN)] == [7, 8, 9]


@pytest.mark.parametrize("slot", [LEFT_OUT, LEFT_OUT + 1, 1000])
def test_a_field_that_is_left_out(slot: int) -> None:
    """A field that is not in the table reads as empty or 0."""
    table = Table.root(build())
    assert table.number("I", slot) == 0
    assert table.content(slot) == b""
    assert table.floats(slot) == ()
    assert list(table.tables(slot)) == []


@given(st.binary(max_size=100), st.integers(0, 10))
def test_arbitrary_bytes(data: bytes, slot: int) -> None:
    """Arbitrary bytes give a value or one of the two exceptions that callers expect."""
    try:
        table = Table.root(data)
        for _ in zip(range(100), table.tables(slot), strict=False):
            pass
        assert len(table.floats(slot)) <= 4
        assert len(table.content(slot)) <= len(data)
    except (struct.error, IndexError, OverflowError):
        pass


def test_a_vector_that_states_four_billion_tables() -> None:
    """Only as many tables are read as the file has room for."""
    # the root table at 12 has its layout at 20, whose field 6 leads from 16 to 38
    content = struct.pack("<I4siii", 12, b"TFL3", 0, -8, 22)
    content += struct.pack("<9H", 18, 8, 0, 0, 0, 0, 0, 0, 4)
    content += struct.pack("<I", 0xFFFFFFFF) + bytes(64)
    assert len(list(Table.root(content).tables(6))) == 16
