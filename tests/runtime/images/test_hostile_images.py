"""Thousands of damaged and malicious files, through a real process and the real command."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from fmx_runtime import Classifier
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.model_file.metadata import InputSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fmx_training.data.dataset import Splits

MANY = int(os.environ.get("FMX_TEST_SEEDS", "1"))  # make test-all sets it
MUTATED = 400 * MANY
MAX_MEGABYTES = 400
MAX_CPU_SECONDS = 5  # a busy machine takes longer by the clock

PHOTOS = Path(__file__).parents[4] / "shared" / "photos"
COMMAND = Path(sys.executable).with_name("fmx-run")

SPEC = InputSpec(
    height=28, width=28, channels=1, scale=1.0, offset=0.0, resize="fit", polarity="light-on-dark"
)

DECODE_ALL = """
import hashlib, json, sys, time
from fmx_runtime.model_file.metadata import InputSpec
from fmx_runtime.errors import ImageError
from fmx_runtime.images.preprocess import to_pixels
spec = InputSpec(height=28, width=28, channels=1, scale=1.0, offset=0.0, resize="fit",
                 polarity="light-on-dark")
for line in sys.stdin:
    path = json.loads(line)
    began, began_cpu = time.perf_counter(), time.process_time()
    try:
        outcome = {"digest": hashlib.sha256(to_pixels(path, spec).tobytes()).hexdigest()}
    except ImageError as error:
        outcome = {"error": str(error)}
    times = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - began_cpu}
    print(json.dumps({"path": path, **times, **outcome}), flush=True)
"""


# good files


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Return the image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photo(request: pytest.FixtureRequest) -> Image.Image:
    """Return a real photo in color; if there are none on this machine, garments side by side."""
    files = sorted(PHOTOS.glob("*/*/*.jpg"))
    if files:
        return Image.open(files[0]).convert("RGB").resize((96, 128))
    splits: Splits = request.getfixturevalue("splits")
    garments = splits.test.images[:12, :, :, 0].reshape(4, 3, 28, 28)
    return Image.fromarray(np.hstack(np.hstack(garments))).convert("RGB")


@pytest.fixture(scope="module")
def seeds(photo: Image.Image) -> dict[str, bytes]:
    """Return a good file of each kind, by a name with its extension."""
    exif = Image.Exif()
    exif[274] = 6
    exif[270] = "a garment"
    large = photo.resize((768, 1024))
    gray, palette = photo.convert("L"), photo.quantize(64)
    clear = photo.convert("RGBA")
    clear.putalpha(gray)
    deep = Image.fromarray(np.asarray(gray) * np.uint16(257))
    frames = {"save_all": True, "append_images": [palette.rotate(90), palette.rotate(180)]}
    return {
        "gray.png": encoded(gray, "PNG"),
        "clear.png": encoded(clear, "PNG", exif=exif),
        "palette.png": encoded(palette, "PNG", transparency=bytes(range(64))),
        "deep.png": encoded(deep, "PNG"),
        "moving.png": encoded(photo, "PNG", save_all=True, append_images=[photo.rotate(90)]),
        "camera.jpg": encoded(large, "JPEG", exif=exif, quality=60),
        "slow.jpg": encoded(photo, "JPEG", progressive=True),
        "print.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "lossy.webp": encoded(photo, "WEBP"),
        "clear.webp": encoded(clear, "WEBP", lossless=True, exif=exif),
        "moving.webp": encoded(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)]),
        "moving.gif": encoded(palette, "GIF", transparency=3, **frames),
        "plain.bmp": encoded(photo, "BMP"),
        "palette.bmp": encoded(palette, "BMP"),
        "plain.tif": encoded(photo, "TIFF", exif=exif),
        "lzw.tif": encoded(deep, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(photo, "TIFF", compression="jpeg"),
        "pages.tif": encoded(palette, "TIFF", compression="tiff_adobe_deflate", **frames),
        "plain.ppm": encoded(photo, "PPM"),
    }


# mutations


def flip_bits(content: bytes, chance: np.random.Generator) -> bytes:
    """Flip a few bits, more often near the beginning, where headers are."""
    changed = bytearray(content)
    for _ in range(chance.integers(1, 9)):
        place = int(chance.random() ** 3 * len(changed))
        changed[place] ^= 1 << chance.integers(8)
    return bytes(changed)


def truncate(content: bytes, chance: np.random.Generator) -> bytes:
    """Cut off the end."""
    return content[: int(chance.random() * len(content))]


def insert_zeros(content: bytes, chance: np.random.Generator) -> bytes:
    """Insert zero bytes, or overwrite with them."""
    place = int(chance.random() ** 2 * len(content))
    length = int(chance.integers(1, 400))
    return content[:place] + bytes(length) + content[place + length * chance.integers(2) :]


def swap_blocks(content: bytes, chance: np.random.Generator) -> bytes:
    """Swap two blocks, as on a damaged file system."""
    size = max(1, min(512, len(content) // 4))
    blocks = [content[place : place + size] for place in range(0, len(content), size)]
    first, second = chance.integers(len(blocks), size=2)
    blocks[first], blocks[second] = blocks[second], blocks[first]
    return b"".join(blocks)


def splice(content: bytes, chance: np.random.Generator) -> bytes:
    """Return the first part of a file, followed by a part of it again."""
    start, end = sorted(int(x) for x in chance.random(2) * len(content))
    return content[:end] + content[start:]


def change_parts(content: bytes, chance: np.random.Generator) -> bytes:
    """Swap, duplicate or remove the chunks of a PNG file or the segments of a JPEG file."""
    head, parts, tail = take_apart(content)
    first, second = chance.integers(len(parts), size=2)
    kind = chance.integers(3)
    if kind == 0:
        parts[first], parts[second] = parts[second], parts[first]
    elif kind == 1:
        parts.insert(second, parts[first])
    else:
        del parts[first]
    return head + b"".join(parts) + tail


def take_apart(content: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return what precedes the parts of a file, the parts, and what follows them."""
    parts = []
    if content.startswith(b"\x89PNG"):
        place = 8
        while place < len(content):
            (length,) = struct.unpack_from(">I", content, place)
            parts.append(content[place : place + length + 12])
            place += length + 12
        return content[:8], parts, b""
    if content.startswith(b"\xff\xd8"):
        place = 2
        while content[place + 1] != 0xDA:
            (length,) = struct.unpack_from(">H", content, place + 2)
            parts.append(content[place : place + length + 2])
            place += length + 2
        return content[:2], parts, content[place:]
    size = len(content) // 8
    blocks = [content[place : place + size] for place in range(0, len(content), size)]
    return blocks[0], blocks[1:], b""


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    flip_bits,
    truncate,
    insert_zeros,
    swap_blocks,
    splice,
    change_parts,
)


def mutated(seeds: dict[str, bytes], number: int) -> Iterator[tuple[str, bytes]]:
    """Yield that many damaged files, always the same, some with a wrong extension."""
    names = list(seeds)
    endings = sorted({Path(name).suffix for name in names})
    for index in range(number):
        chance = np.random.default_rng(index)
        name = names[index % len(names)]
        mutation = MUTATIONS[index // len(names) % len(MUTATIONS)]
        content = mutation(seeds[name], chance)
        ending = endings[chance.integers(len(endings))] if index % 5 == 0 else Path(name).suffix
        yield f"{index:04}-{mutation.__name__}-{Path(name).stem}{ending}", content


# malicious files


def zeros(size: int) -> bytes:
    """Return that many zero bytes, compressed to a thousandth."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *parts: bytes, color_type: int = 0) -> bytes:
    """Return a PNG file of 8 bits a channel with these chunks after the header."""
    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(parts) + chunk(b"IEND")


def tiff(tags: dict[int, tuple[int, int, int]], body: bytes = b"") -> bytes:
    """Return a TIFF file; a tag has a type, a count, and a value or offset (-1 is the body)."""
    tags = {
        256: (4, 1, 28),
        257: (4, 1, 28),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, -1),
        **tags,
    }
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, kind, length, start if value < 0 else value)
        for tag, (kind, length, value) in tags.items()
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + body


def repeating_exif(tags: int, size: int) -> bytes:
    """Return EXIF data with many tags that all refer to the same bytes."""
    entries = b"".join(struct.pack("<HHII", tag, 7, size, 0) for tag in range(1000, 1000 + tags))
    return (b"II*\0" + struct.pack("<IH", 8, tags) + entries).ljust(size, b"\0")


def resized(jpeg: bytes, width: int, height: int) -> bytes:
    """Return a JPEG file that states another size."""
    changed = bytearray(jpeg)
    marker = next(m for m in (b"\xff\xc0", b"\xff\xc2") if m in jpeg)
    struct.pack_into(">HH", changed, jpeg.index(marker) + 5, height, width)
    return bytes(changed)


def bmp(width: int, height: int, compression: int, data: bytes) -> bytes:
    """Return a BMP file of 256 colors."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<III", 0, 0, 1078) + header + bytes(range(256)) * 4 + data


def bombs(seeds: dict[str, bytes]) -> dict[str, bytes]:
    """Return small files that would take gigabytes or hours, and formats that run programs."""
    pixels = chunk(b"IDAT", zlib.compress(bytes(29 * 28)))
    gif, slow, camera = seeds["moving.gif"], seeds["slow.jpg"], seeds["camera.jpg"]
    first_frame = gif.index(b"!\xf9")
    last_scan = slow.rindex(b"\xff\xda")
    exif = b"Exif\0\0" + repeating_exif(5000, 60_000)
    subdirectory = struct.pack("<H", 60_000) + b"".join(
        struct.pack("<HHII", tag, 7, 1 << 22, 0) for tag in range(60_000)
    )
    deflated = zeros(400 << 20)
    return {
        "declared.png": png(2**31 - 1, 2**31 - 1, pixels),
        "thin.png": png(2**31 - 1, 1, pixels),
        "clear.png": png(11_000, 11_000, chunk(b"IDAT", zeros(484 << 20)), color_type=6),
        "gray.png": png(11_000, 11_000, chunk(b"IDAT", zeros(122 << 20))),
        "profile.png": png(28, 28, chunk(b"iCCP", b"x\0\0" + deflated), pixels),
        "text.png": png(28, 28, chunk(b"zTXt", b"x\0\0" + deflated), pixels),
        "texts.png": png(28, 28, pixels, *[chunk(b"zTXt", b"x\0\0" + zeros(1 << 20))] * 300),
        "chunks.png": png(28, 28, *[chunk(b"teSt")] * 1_000_000, pixels),
        "empty-chunks.png": png(28, 28, *[chunk(b"IDAT")] * 1_000_000, pixels),
        "exif.png": png(28, 28, chunk(b"eXIf", repeating_exif(60_000, 1 << 20)), pixels),
        "declared.gif": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "comment.gif": gif[:first_frame] + b"!\xfe" + (b"\xff" * 256) * 80_000 + gif[first_frame:],
        "declared.webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2,
        "lossless.webp": b"RIFF\x1e\0\0\0WEBPVP8L\x12\0\0\0\x2f\xff\xff\xff\x0f" + bytes(13),
        "declared.tif": tiff({256: (4, 1, 2**31), 257: (4, 1, 2**31)}),
        "repeating.tif": tiff(
            dict.fromkeys(range(40_000, 42_000), (7, 1 << 22, 0)), bytes(1 << 22)
        ),
        "strips.tif": tiff({273: (3, 4_000_000, -1), 278: (4, 1, 1)}, bytes(8_000_000)),
        "tile.tif": tiff(
            {
                259: (3, 1, 8),
                322: (4, 1, 20_000),
                323: (4, 1, 20_000),
                324: (4, 1, -1),
                325: (4, 1, len(deflated)),
            },
            deflated,
        ),
        "subdirectory.tif": tiff({34665: (4, 1, -1)}, subdirectory + bytes(1 << 22)),
        "loop.tif": tiff({34665: (4, 1, 8)}, bytes(800)),
        "declared.jpg": resized(camera, 65_500, 65_500),
        "slow.jpg": resized(slow, 11_000, 11_000),
        "scans.jpg": resized(slow, 5_000, 5_000)[:-2] + slow[last_scan:-2] * 5_000,
        "exif.jpg": camera[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + camera[2:],
        "padding.jpg": camera[:2] + b"\xff" * 10_000_000 + camera[2:],
        "comment.ppm": b"P6 #" + b"x" * 30_000_000 + b"\n28 28 255\n" + bytes(3 * 784),
        "digits.ppm": b"P3 4000 4000 255\n" + b"1 2 3 " * 5_000_000,
        "maximum.ppm": b"P6 4000 4000 254\n" + bytes(48_000_000),
        "declared.ppm": b"P6 99999 99999 255\n",
        "runs.bmp": bmp(8_000, 8_000, 1, b"\1\5" * 3_000_000),
        "short-runs.bmp": bmp(700, 700, 1, b"\1\5" * 3_000_000),
        "declared.bmp": bmp(30_000, 30_000, 0, b""),
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n",
        "document.jpg": b"%PDF-1.4\n",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }


# the process that decodes


def memory(pid: int) -> int:
    """Return the peak memory of a process in megabytes; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return 0
    return sum(int(x.split()[1]) // 1000 for x in status.splitlines() if x.startswith("VmHWM"))


class Child(NamedTuple):
    """A process that decodes files, one at a time."""

    process: subprocess.Popen[str]
    errors: Path

    def decode(self, path: Path | str) -> dict[str, Any]:
        """Return the outcome of a file and the times it took; fail if the process ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(str(path)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"ended at {path}: {self.errors.read_text('utf-8')}"
        outcome: dict[str, Any] = json.loads(line)
        return outcome

    def memory(self) -> int:
        """See `memory`."""
        return memory(self.process.pid)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Child]:
    """A child that is stopped in the end; whatever it writes to stderr goes into the folder."""
    errors = folder / "stderr"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", DECODE_ALL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            yield Child(process, errors)
        finally:
            process.kill()


def digest(path: Path) -> str:
    """Return the SHA-256 of the pixels that a file gives in this process."""
    return hashlib.sha256(to_pixels(path, SPEC).tobytes()).hexdigest()


def write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Write files into a new folder."""
    folder.mkdir()
    paths = [folder / name for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    return paths


def test_mutated_images(seeds: dict[str, bytes], tmp_path: Path) -> None:
    """Each damaged file is decoded or refused in one line, and good files stay right."""
    good = write(tmp_path / "good", seeds)
    expected = [digest(path) for path in good]
    bad = write(tmp_path / "bad", dict(mutated(seeds, MUTATED)))
    kinds: Counter[str] = Counter()
    with started(tmp_path) as child:
        for index, path in enumerate(bad):
            outcome = child.decode(path)
            assert outcome["cpu_seconds"] < MAX_CPU_SECONDS, path
            kinds["refused" if "error" in outcome else "decoded"] += 1
            if "error" in outcome:
                assert outcome["error"].startswith(f"'{path}' ")
                assert "\n" not in outcome["error"]
            turn = index % len(good)
            assert child.decode(good[turn])["digest"] == expected[turn], f"after {path}"
        assert child.memory() < MAX_MEGABYTES
    # both happen often, or the files were damaged too little or too much
    assert min(kinds["decoded"], kinds["refused"]) > MUTATED // 5
    assert kinds.total() == MUTATED


def test_bombs(seeds: dict[str, bytes], tmp_path: Path) -> None:
    """Files that would take gigabytes or hours are decoded or refused in seconds."""
    (good,) = write(tmp_path / "good", {"camera.jpg": seeds["camera.jpg"]})
    expected = digest(good)
    decoded = {"gray.png", "exif.png", "exif.jpg", "loop.tif"}
    with started(tmp_path) as child:
        for path in write(tmp_path / "bad", bombs(seeds)):
            outcome = child.decode(path)
            assert outcome["cpu_seconds"] < MAX_CPU_SECONDS, path
            assert ("digest" in outcome) == (path.name in decoded), outcome
            assert child.memory() < MAX_MEGABYTES, path
            assert child.decode(good)["digest"] == expected


def test_files_that_are_not_regular(tmp_path: Path) -> None:
    """Devices, pipes, sockets, folders and circular links are refused at once."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "circle.png").symlink_to("other.png")
    (tmp_path / "other.png").symlink_to("circle.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening, started(tmp_path) as child:
        listening.bind(str(tmp_path / "socket.png"))
        names = ("pipe.png", "circle.png", "zero.png", "socket.png", "gone.png", ".")
        for path in (*(tmp_path / name for name in names), "/dev/zero", "/dev/random", "/dev/null"):
            outcome = child.decode(path)
            assert outcome["error"].startswith(f"'{path}' ")
            assert outcome["seconds"] < 0.5
        assert child.memory() < 100


def test_command_on_hostile_files(seeds: dict[str, bytes], exported: Path, tmp_path: Path) -> None:
    """``fmx-run`` on a folder of such files classifies the good ones as the library does."""
    model = exported / "baseline.int8.tflite"
    folder = tmp_path / "shop"
    files = dict(mutated(seeds, 300)) | {f"bomb-{x}": y for x, y in bombs(seeds).items()}
    files |= {
        f"{index:04}-good-{name}": content for index, (name, content) in enumerate(seeds.items())
    }
    paths = write(folder, files)
    with (tmp_path / "results").open("w+") as results, (tmp_path / "errors").open("w+") as errors:
        process = subprocess.Popen(
            [COMMAND, "--model", model, "--jsonl", folder], stdout=results, stderr=errors
        )
        most = 0
        while process.poll() is None:
            most = max(most, memory(process.pid))
            time.sleep(0.02)
        results.seek(0)
        errors.seek(0)
        records = {line["path"]: line for line in map(json.loads, results)}
        complaints = errors.read().splitlines()
    assert set(records) == {str(path) for path in paths}
    refused = [record for record in records.values() if "error" in record]
    assert sorted(complaints) == sorted(f"fmx-run: {record['error']}" for record in refused)
    assert process.returncode == 1
    assert most < MAX_MEGABYTES
    classifier = Classifier(model)
    for path in paths:
        if "-good-" in path.name:
            (best,) = classifier.classify(path, 1)
            assert records[str(path)]["label"] == best.label
            assert records[str(path)]["score"] == pytest.approx(best.score, abs=1e-6)
