"""Damaged and hostile model files, made from the exported ones by fixed seeds.

Files are opened in processes of their own, some hundreds in each; what ends such a process, or
holds it for longer than five seconds, fails the test with the seed's number. Run as a script, this
file is that process::

    python test_hostile_models.py MODEL SEEDS REPORT
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from fmx_runtime.backends.base import detect_format
from fmx_runtime.classifier import Classifier
from fmx_runtime.errors import ModelFileError
from fmx_runtime.model_file.container import find_metadata, read_metadata
from fmx_runtime.model_file.external_model import describe_external_model
from fmx_runtime.model_file.metadata import METADATA_KEY, ModelMetadata
from fmx_runtime.support import json_codec
from fmx_runtime.support.stderr_filter import filter_native_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fmx_training.data.dataset import Splits

NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]
MANY = int(os.environ.get("FMX_TEST_SEEDS", "1"))  # make test-all sets it
SEEDS = 54 * MANY  # of each file, each kind of damage six times
EXTERNAL_MODEL_SEEDS = 4 * MANY  # of each file: each takes a process
PATIENCE_S = 5
MEMORY_KB = 400 << 10


# --- damage ---------------------------------------------------------------------------------------


def flipped(content: bytearray, chance: random.Random, start: int) -> None:
    """Flip one bit or many."""
    for _ in range(chance.choice([1, 1, 2, 100])):
        content[chance.randrange(start, len(content))] ^= 1 << chance.randrange(8)


def cut_off(content: bytearray, chance: random.Random, start: int) -> None:
    """Remove the end."""
    del content[chance.randrange(start, len(content)) :]


def beheaded(content: bytearray, chance: random.Random, start: int) -> None:
    """Remove a part before the end."""
    first = chance.randrange(start, len(content))
    del content[first : first + chance.choice([1, 4, 512, 4096])]


def zeroed(content: bytearray, chance: random.Random, start: int) -> None:
    """Fill a block with zeros, as after a power cut."""
    first = chance.randrange(start, len(content))
    size = min(chance.choice([1, 512, 4096, 65536]), len(content) - first)
    content[first : first + size] = bytes(size)


def filled(content: bytearray, chance: random.Random, start: int) -> None:
    """Fill a block with a pattern, as a worn SD card does."""
    first = chance.randrange(start, len(content))
    size = min(chance.choice([1, 512, 4096]), len(content) - first)
    content[first : first + size] = chance.choice([b"\xff", b"\x80", b"\x7f"]) * size


def inserted(content: bytearray, chance: random.Random, start: int) -> None:
    """Insert bytes that belong elsewhere."""
    first = chance.randrange(start, len(content))
    content[first:first] = chance.randbytes(chance.choice([1, 4, 512, 4096]))


def swapped(content: bytearray, chance: random.Random, start: int) -> None:
    """Swap two blocks."""
    size = chance.choice([1, 16, 128])
    one, other = (chance.randrange(start, len(content) - size) for _ in range(2))
    content[one : one + size], content[other : other + size] = (
        content[other : other + size],
        content[one : one + size],
    )


def repeated(content: bytearray, chance: random.Random, start: int) -> None:
    """Repeat the end, and the metadata with it."""
    content += content[chance.randrange(start, len(content)) :]


def continued(content: bytearray, chance: random.Random, start: int) -> None:
    """Append zeros, text or noise, in which ZIP readers look for the end record."""
    assert start <= len(content)
    size = chance.choice([1, 4, 100, 70_000])
    content += chance.choice([bytes(size), b"PK\x05\x06" * (size // 4), chance.randbytes(size)])


DAMAGES: list[Callable[[bytearray, random.Random, int], None]] = [
    flipped,
    cut_off,
    beheaded,
    zeroed,
    filled,
    inserted,
    swapped,
    repeated,
    continued,
]


def damaged(content: bytes, seed: int) -> bytes:
    """One kind of damage; by the seed anywhere, at the beginning or in the metadata."""
    chance = random.Random(seed)
    changed = bytearray(content)
    metadata = len(content) - ModelMetadata.from_json(read_metadata(content)).model_bytes
    starts = [0, 0, len(content) - metadata, len(content) - 300]
    DAMAGES[seed % len(DAMAGES)](changed, chance, chance.choice(starts))
    return bytes(changed)


# --- tricks: what no accident makes ---------------------------------------------------------------


def resealed(content: bytes, text: str) -> bytes:
    """The model with another text as its metadata."""
    model = content[: ModelMetadata.from_json(read_metadata(content)).model_bytes]
    if detect_format(content) == "onnx":
        entry = field(1, METADATA_KEY.encode()) + field(2, text.encode("utf-8", "surrogatepass"))
        return model + field(14, entry)
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(METADATA_KEY, text.encode("utf-8", "surrogatepass"))
    return buffer.getvalue()


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A protobuf number."""
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def with_values(content: bytes, **values: object) -> bytes:
    """The model with other values in its metadata and the right checksum."""
    data = json_codec.parse(read_metadata(content))
    del data["metadata_sha256"]
    for place, value in values.items():
        *path, last = place.split("__")
        inner = data
        for key in path:
            inner = inner[key]
        inner[last] = value
    checksum = hashlib.sha256(canonical(data).encode("utf-8", "surrogatepass")).hexdigest()
    return resealed(content, canonical({**data, "metadata_sha256": checksum}))


def canonical(data: dict[str, object]) -> str:
    """The canonical text, also with NaN and infinity, which an honest writer refuses."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def json_tricks(content: bytes) -> Iterator[bytes]:
    """Texts that are not metadata: nested, huge, with repeated keys, not JSON."""
    text = read_metadata(content)
    for start, end in (("[", "]"), ('{"a":', "}"), ('{"schema":', "}"), ("", "]")):
        for depth in (500, 1000, 100_000):
            yield resealed(content, start * depth + end * depth)
    for number in ("9" * 5000, "1e999999999", "-1e9", "NaN", "Infinity", "0." + "1" * 100_000):
        yield resealed(content, text.replace('"height":28', f'"height":{number}'))
        yield resealed(content, text.replace('"offset":0.0', f'"offset":{number}'))
    for key in ('"schema":1', '"schema":99', '"labels":[]', '"input":{}'):
        yield resealed(content, "{" + key + "," + text[1:])
        yield resealed(content, text[:-1] + "," + key + "}")
    for other in ("", "{}", "null", "[]", '""', "\x00", "\ud800", text * 2, text[:-1], text[1:]):
        yield resealed(content, other)
    yield resealed(content, text[:-1] + ',"more":[' + "[],1," * 200_000 + "1]}")
    yield resealed(content, text.replace('"labels":[', '"labels":[' + '"x",' * 200_000))


def metadata_tricks(content: bytes) -> Iterator[bytes]:
    """Metadata with the right checksum and impossible values."""
    values: list[dict[str, object]] = [
        {"input__height": 0},
        {"input__height": -28},
        {"input__height": 10**100},
        {"input__width": 1 << 40},
        {"input__channels": 2},
        {"input__dtype": "float64"},
        {"input__scale": float("nan")},
        {"input__scale": float("inf")},
        {"input__offset": float("-inf")},
        {"labels": []},
        {"labels": ["x"] * 100_000},
        {"labels": [None] * 10},
        {"model_bytes": -1},
        {"model_bytes": 0},
        {"model_bytes": 1 << 70},
        {"model_sha256": ""},
        {"schema": 0.5},
        {"schema": 1 << 70},
        {"precision": "int4"},
        {"task": None},
    ]
    yield from (with_values(content, **value) for value in values)


def zip_tricks(content: bytes) -> Iterator[bytes]:
    """ZIP archives behind a TFLite model that fill the memory or state wrong sizes."""
    model = content[: ModelMetadata.from_json(read_metadata(content)).model_bytes]
    blanks = b" " * (1 << 20)
    for method, size in (
        (zipfile.ZIP_DEFLATED, 512),
        (zipfile.ZIP_BZIP2, 8),
        (zipfile.ZIP_LZMA, 8),
    ):
        buffer = io.BytesIO(model)
        archive = zipfile.ZipFile(buffer, "a", method, compresslevel=1)
        with archive, archive.open(METADATA_KEY, "w") as entry:
            for _ in range(size):
                entry.write(blanks)
        yield buffer.getvalue()
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:
        for index in range(5000):
            archive.writestr(f"{index}", b"")
        archive.writestr("../" + METADATA_KEY, b"{}")
    yield buffer.getvalue()
    plain = bytearray(content)
    directory = plain.rfind(b"PK\x01\x02")
    first = plain.find(b"PK\x01\x02", len(model))
    end = plain.rfind(b"PK\x05\x06")
    for place, size in (
        *((first + offset, 4) for offset in (16, 20, 24, 42)),  # checksum, sizes, local header
        *((first + offset, 2) for offset in (6, 8, 10, 28, 30, 32)),  # flags, method, lengths
        *((end + offset, 2) for offset in (8, 10, 20)),  # numbers of entries, comment
        *((end + offset, 4) for offset in (12, 16)),  # size and place of the directory
        (directory + 28, 2),
    ):
        for value in (b"\x00", b"\x01", b"\x7f", b"\xff"):
            lying = plain.copy()
            lying[place : place + size] = value * size
            yield bytes(lying)


def protobuf_tricks(content: bytes) -> Iterator[bytes]:
    """Protobuf fields that are endless, of negative length, nested, unknown, or a million."""
    metadata = field(1, METADATA_KEY.encode()) + field(2, b"{}")
    for tail in (
        b"\x80" * 3_000_000,
        b"\x72" + b"\xff" * 3_000_000,
        b"\x72" + varint(1 << 63),
        b"\x72" + varint((1 << 64) - 1),
        b"\x72" + varint(1 << 40),
        b"\x72",
        b"\x08\x01" * 2_000_000,
        field(14, b"\x08\x01" * 2_000_000),
        field(14, b""),
        field(14, field(1, METADATA_KEY.encode())),
        field(14, field(2, b"{}")),
        field(14, metadata) * 50_000,
        field(14, b"\x0f"),
        b"\x73" * 100_000,  # beginnings of groups
        b"\x07" * 1000,
        bytes(1000),
    ):
        yield content + tail
        yield content[:20] + tail
    nested = b""
    for _ in range(2000):
        nested = field(14, nested)
    yield content + nested


def starts(content: bytes) -> Iterator[bytes]:
    """Files that begin as a model does, and others."""
    for size in (0, 1, 4, 7, 8, 9, 64):
        yield content[:size]
    yield bytes(1000)
    yield content[8:]
    yield content[:8] + bytes(100_000)
    yield content[:4] + b"TFL2" + content[8:]
    yield b"\x08" + content
    yield content + content


def tricks(content: bytes) -> Iterator[bytes]:
    """All hostile files of the format."""
    yield from starts(content)
    yield from json_tricks(content)
    yield from metadata_tricks(content)
    yield from (
        zip_tricks(content) if detect_format(content) == "tflite" else protobuf_tricks(content)
    )


# --- the process that opens them ------------------------------------------------------------------


def attempt(files: Iterable[tuple[int, bytes]], original: Path, report: Path) -> None:
    """Open each file and write its outcome; a line before it names a file that crashes."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    whole = Classifier(original)
    expected = whole.predict(pixels)
    with report.open("w") as lines, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / original.name
        for seed, content in files:
            path.write_bytes(content)
            print(seed, end=" ", file=lines, flush=True)
            signal.alarm(PATIENCE_S)  # ends this process
            print(json.dumps(outcome(path, whole.metadata, pixels, expected)), file=lines)
            signal.alarm(0)
        status = Path("/proc/self/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        print("memory", peak.split()[1], file=lines)


def outcome(
    path: Path,
    metadata: ModelMetadata,
    pixels: np.ndarray[Any, Any],
    expected: np.ndarray[Any, Any],
) -> str:
    """``same``, a refusal of one line that names the file, or what should not happen."""
    try:
        classifier = Classifier(path)
        answers = classifier.predict(pixels)
    except ModelFileError as error:
        message = str(error)
        named = str(path) in message and "\n" not in message and len(message) < 500
        return f"refused: {message.replace(str(path), 'MODEL')}" if named else f"BAD: {message}"
    except BaseException as error:  # noqa: BLE001
        return f"RAISED: {type(error).__name__}: {error}"
    same = np.array_equal(answers, expected) and classifier.metadata == metadata
    return "same" if same else "OTHER"


@dataclass(frozen=True)
class Report:
    """What came of some hundred files.

    Attributes:
        outcomes: by seed.
        memory_kb: the most that the process had.
    """

    outcomes: dict[int, str]
    memory_kb: int


def opened(model: Path, seeds: str, folder: Path) -> Report:
    """The report of `attempt` in a process that must not crash or print."""
    report = folder / "report"
    done = subprocess.run(
        [sys.executable, __file__, model, seeds, report],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    *lines, last = report.read_text().splitlines() or [""]
    assert done.returncode == 0, f"ended with {done.returncode} at {last}\n{done.stderr[-2000:]}"
    assert (done.stdout, done.stderr) == ("", "")
    outcomes = {int(seed): json.loads(rest) for seed, rest in (x.split(" ", 1) for x in lines)}
    return Report(outcomes, int(last.split()[1]))


def check(report: Report) -> list[str]:
    """Check that each file was refused or predicts as the original; return the outcomes."""
    wrong = {
        seed: outcome
        for seed, outcome in report.outcomes.items()
        if outcome != "same" and not outcome.startswith("refused: ")
    }
    assert not wrong
    assert report.memory_kb < MEMORY_KB
    return list(report.outcomes.values())


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files(name: str, exported: Path, tmp_path: Path) -> None:
    """A damaged file is refused, or its predictions are unchanged."""
    outcomes = check(opened(exported / f"baseline.{name}", f"0-{SEEDS}", tmp_path))
    assert len(outcomes) == SEEDS
    assert outcomes.count("same") < SEEDS / 3
    # each step of the way has met some
    for why in (
        "checksum differs",
        "has no model metadata",
        "is damaged: its model metadata cannot",
    ):
        assert any(why in outcome for outcome in outcomes)


@pytest.mark.parametrize("name", ["int8.tflite", "int8.onnx"])
def test_hostile_files(name: str, exported: Path, tmp_path: Path) -> None:
    """Files made to fill the memory, or to be read forever, are refused."""
    original = exported / f"baseline.{name}"
    outcomes = check(opened(original, "tricks", tmp_path))
    assert len(outcomes) == len(list(tricks(original.read_bytes())))
    assert len(outcomes) > 100
    assert outcomes.count("same") < len(outcomes) / 3


SPECIAL = """
import resource, signal, sys
from fmx_runtime import Classifier, ModelFileError
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
signal.alarm(5)
try:
    Classifier(sys.argv[1])
except ModelFileError as error:
    print(error)
status = open("/proc/self/status").read().partition("VmHWM:")[2]
print(status.split()[0])
"""


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("folder", "cannot be read: Is a directory"),
        ("/dev/zero", "not a regular file"),
        ("/dev/null", "not a regular file"),
        ("fifo", "not a regular file"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
        ("dangling", "does not exist"),
        ("long", "cannot be read: File name too long"),
        ("sparse", "neither a TFLite nor an ONNX model"),
        ("large", "has 1099511627776 bytes, at most"),
        ("image.tflite", "neither a TFLite nor an ONNX model"),
    ],
)
def test_special_files(kind: str, message: str, tmp_path: Path, images: Path) -> None:
    """Devices, pipes and link loops are refused with their path and not read."""
    path = Path(kind) if kind.startswith("/") else tmp_path / kind
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)
        case "dangling":
            path.symlink_to(tmp_path / "gone")
        case "long":
            path = tmp_path / ("x" * 300)
        case "sparse" | "large":
            path.write_bytes(b"\x1c\x00\x00\x00TFL3" if kind == "large" else b"")
            os.truncate(path, 1 << 40)
        case "image.tflite":
            path.write_bytes((images / "00.png").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", SPECIAL, path], capture_output=True, text=True, check=False
    )
    said, memory = done.stdout.splitlines() or ["", "0"]
    assert done.returncode == 0, done.stderr[-1000:]
    assert message in said
    assert str(path) in said
    assert int(memory) < MEMORY_KB


def test_what_follows_the_metadata_is_not_run(
    exported: Path, splits: Splits, tmp_path: Path
) -> None:
    """Protobuf messages merge, but other weights behind the metadata do not change a prediction.

    The checksum covers the model in front of the metadata, and the interpreter gets no more.
    """
    original = exported / "baseline.float32.onnx"
    graph = onnx.load(original).graph
    (bias,) = (tensor for tensor in graph.initializer if list(tensor.dims) == [10])
    values = onnx.numpy_helper.to_array(bias) + np.arange(10, dtype=np.float32) * 100
    tail = onnx.ModelProto()
    tail.graph.initializer.append(onnx.numpy_helper.from_array(values, bias.name))
    content = original.read_bytes() + tail.SerializeToString()
    path = tmp_path / "longer.onnx"
    path.write_bytes(content)
    images = splits.test.images[:5]
    assert np.array_equal(Classifier(path).predict(images), Classifier(original).predict(images))


@pytest.mark.parametrize("name", NAMES)
def test_the_file_name_does_not_matter(name: str, exported: Path, tmp_path: Path) -> None:
    """The content, not the name, decides the format of a file."""
    path = tmp_path / name.replace("tflite", "png").replace("onnx", "tflite")
    path.write_bytes((exported / f"baseline.{name}").read_bytes())
    assert Classifier(path).metadata.labels


# --- without metadata there is no checksum ----------------------------------------------------


def structural(content: bytes) -> list[int]:
    """Positions of tables, not weights, in a TFLite model: zeros are frequent there."""
    zeros = np.frombuffer(content, np.uint8) == 0
    density = np.convolve(zeros, np.ones(32) / 32, "same")
    return [int(place) for place in np.flatnonzero(density > 0.25)]


def damaged_model(model: bytes, seed: int, places: list[int]) -> bytes:
    """Damage for every second seed, and for the others another value of a table's byte."""
    chance = random.Random(seed)
    changed = bytearray(model)
    if seed % 2:
        DAMAGES[seed // 2 % len(DAMAGES)](changed, chance, 0)
    else:
        changed[chance.choice(places)] = chance.choice([0, 1, 2, 127, 255])
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_without_metadata(
    name: str, exported: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A damaged external model is described, or is a ModelFileError, within 5 s."""
    content = (exported / f"baseline.{name}").read_bytes()
    metadata = ModelMetadata.from_json(read_metadata(content))
    model = content[: metadata.model_bytes]
    places = structural(model)

    def one(seed: int) -> tuple[str, float]:
        start = time.monotonic()
        try:
            found = describe_external_model(
                damaged_model(model, seed, places), labels=metadata.labels, input_range="0..1"
            )
            said = f"described: {found.input.shape}"
        except ModelFileError as error:
            said = str(error)
        return said, time.monotonic() - start

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(one, range(EXTERNAL_MODEL_SEEDS)))
    assert len({said for said, _ in outcomes}) > 1
    assert not any("\n" in said for said, _ in outcomes)
    assert max(seconds for _, seconds in outcomes) < PATIENCE_S
    assert capfd.readouterr() == ("", "")


def test_damaged_metadata_are_not_ignored(exported: Path) -> None:
    """A file with damaged metadata is refused, even if labels are given."""
    content = bytearray((exported / "baseline.int8.tflite").read_bytes())
    content[-400] ^= 1
    assert find_metadata(bytes(content[: len(content) // 2])) is None
    directory = content.rfind(b"PK\x05\x06")
    content[directory + 16] ^= 1
    with pytest.raises(ModelFileError, match="is damaged: its model metadata cannot be read"):
        describe_external_model(bytes(content), labels=["x"] * 10)


if __name__ == "__main__":
    source, wanted, where = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    model_file = source.read_bytes()
    if wanted == "tricks":
        every: Iterable[tuple[int, bytes]] = enumerate(tricks(model_file))
    else:
        first, _, last = wanted.partition("-")
        every = ((seed, damaged(model_file, seed)) for seed in range(int(first), int(last)))
    with filter_native_stderr():
        attempt(every, source, where)
