from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file import checksum
from fmx_runtime.model_file.checksum import check_model, metadata_checksum, sha256

LOADED = """
import sys
from fmx_runtime.model_file.checksum import sha256
sha256(bytes(int(sys.argv[1])))
print("_hashlib" in sys.modules)
"""


@given(st.binary(max_size=300))
def test_small_content(content: bytes) -> None:
    """The digest of small content is the standard library's."""
    assert sha256(content) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("more", [0, 1])
def test_large_content(more: int) -> None:
    """The digest is the same on both sides of the size from which OpenSSL is used."""
    content = b"x" * (checksum._SMALL_BYTES + more)
    assert sha256(content) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("size", "openssl"), [(200_000, "False"), (2_000_000, "True")])
def test_openssl_is_loaded_for_large_content_only(size: int, openssl: str) -> None:
    """A cold start with a small model does not load OpenSSL; a large model is hashed by it."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(size)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == openssl


MODEL = b"a model of some bytes"
DIGEST = hashlib.sha256(MODEL).hexdigest()


@pytest.mark.parametrize("rest", [b"", b" and its metadata"])
def test_the_model_is_unchanged(rest: bytes) -> None:
    """The checksum covers the model only, not what follows it."""
    check_model(MODEL + rest, model_sha256=DIGEST, model_bytes=len(MODEL))


@pytest.mark.parametrize(
    ("content", "digest", "size"),
    [
        (MODEL.replace(b"some", b"same"), DIGEST, len(MODEL)),
        (MODEL[:-1], DIGEST, len(MODEL)),
        (MODEL, DIGEST, len(MODEL) - 1),
        (MODEL, DIGEST.upper(), len(MODEL)),
        (MODEL, "", len(MODEL)),
        (MODEL, hashlib.sha256(b"").hexdigest(), 0),
        (MODEL, hashlib.sha256(MODEL[:-1]).hexdigest(), -1),
    ],
)
def test_the_model_was_changed(content: bytes, digest: str, size: int) -> None:
    """Other bytes, another checksum and a model without bytes are refused."""
    with pytest.raises(ModelFileError, match=r"was changed after it was exported .*export again"):
        check_model(content, model_sha256=digest, model_bytes=size)


def test_metadata_checksum() -> None:
    """It is the digest of the sorted JSON text without spaces, in UTF-8; the order is ignored."""
    data = {"b": [1, 0.5], "a": {"ö": None}}
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert text == '{"a":{"ö":null},"b":[1,0.5]}'
    assert metadata_checksum(data) == hashlib.sha256(text.encode()).hexdigest()
    assert metadata_checksum(dict(reversed(data.items()))) == metadata_checksum(data)


def test_metadata_checksum_of_half_a_surrogate_pair() -> None:
    """JSON can escape half a surrogate pair, which has no UTF-8; it is encoded like any other."""
    expected = hashlib.sha256(b'{"a":"\xed\xa0\x80"}').hexdigest()
    assert metadata_checksum(json.loads('{"a":"\\ud800"}')) == expected
