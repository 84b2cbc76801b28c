from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.model_file.checksum import sha256


@given(st.binary(max_size=300))
def test_it_is_sha256(content: bytes) -> None:
    """The digest is the standard library's."""
    assert sha256(content) == hashlib.sha256(content).hexdigest()
