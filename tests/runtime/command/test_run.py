from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from fmx_runtime import Classifier

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]


def record(path: Path, top_k: int, model: Path) -> dict[str, Any]:
    """Return the documented JSON object for an image, made with the library."""
    predictions = Classifier(model).classify(path, top_k)
    top = [{"label": item.label, "score": round(item.score, 6)} for item in predictions]
    return {"path": str(path), "label": top[0]["label"], "score": top[0]["score"], "top": top}


def mixed(images: Path, folder: Path) -> list[Path]:
    """Return a good image, four bad ones, and another good one."""
    (folder / "text.png").write_text("no image\n", "utf-8")
    (folder / "short.png").write_bytes((images / "00.png").read_bytes()[:150])
    (folder / "empty").mkdir()
    bad = [folder / name for name in ("text.png", "short.png", "gone.png", "empty")]
    return [images / "00.png", *bad, images / "01.png"]


def test_bad_images(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """Good images are classified; each bad one is a line on stderr that names it; exit code 1."""
    paths = mixed(images, tmp_path)
    done = fmx_run(*paths)
    assert done.returncode == 1
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        str(paths[0]),
        str(paths[-1]),
    ]
    for line, path in zip(done.stderr.splitlines(), paths[1:-1], strict=True):
        assert line.startswith("fmx-run: ")
        assert f"'{path}'" in line


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_bad_images_in_json(
    form: str, fmx_run: FmxRun, exported: Path, images: Path, tmp_path: Path
) -> None:
    """A bad image is ``{"path", "error"}`` in its place."""
    paths = mixed(images, tmp_path)
    done = fmx_run(form, *paths)
    lines = done.stdout.splitlines()
    objects = json.loads(done.stdout) if form == "--json" else [json.loads(x) for x in lines]
    assert [item["path"] for item in objects] == [str(path) for path in paths]
    model = exported / "baseline.int8.tflite"
    assert objects[0] == record(paths[0], 1, model)
    assert objects[-1] == record(paths[-1], 1, model)
    for item, line in zip(objects[1:-1], done.stderr.splitlines(), strict=True):
        assert set(item) == {"path", "error"}
        assert line == f"fmx-run: {item['error']}"
    assert done.returncode == 1


def test_no_warnings(fmx_run: FmxRun, tmp_path: Path) -> None:
    """Images that Pillow warns about, but can read, print nothing to stderr."""
    chance = np.random.default_rng(0)
    image = Image.fromarray(chance.integers(0, 255, (50, 40, 3), np.uint8))
    image.save(tmp_path / "exif.jpg", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[282] = 72.0
    image.save(tmp_path / "tags.tif", tiffinfo=tags)
    Image.new("1", (9500, 9500)).save(tmp_path / "huge.png")
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(tmp_path / "huge.png")
    done = fmx_run(".")
    assert len(done.stdout.splitlines()) == 3
    assert (done.returncode, done.stderr) == (0, "")


def test_broken_tiffs(fmx_run: FmxRun, tmp_path: Path) -> None:
    """Messages of Pillow and libtiff are suppressed: each bad image is one line."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8))
    image.save(tmp_path / "whole.tif", compression="tiff_lzw")
    whole = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "whole.tif").unlink()
    # SamplesPerPixel 246, which Pillow logs; the strip's place and size beyond the file
    for name, tag in (("samples", 277), ("offset", 273), ("size", 279)):
        place = next(
            at
            for at in range(int.from_bytes(whole[4:8], "little") + 2, len(whole), 12)
            if int.from_bytes(whole[at : at + 2], "little") == tag
        )
        (tmp_path / f"{name}.tif").write_bytes(
            whole[: place + 8] + b"\xf6\x00\xf6\x00" + whole[place + 12 :]
        )
    (tmp_path / "short.tif").write_bytes(whole[: len(whole) // 2])
    done = fmx_run(".")
    lines = done.stderr.splitlines()
    assert len(lines) + len(done.stdout.splitlines()) == 4
    assert all(line.startswith("fmx-run: ") for line in lines)
    assert len(lines) >= 3


def test_paths_that_are_not_utf8(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """A path that is not UTF-8 is escaped in text, and exact in JSON."""
    folder = tmp_path / "odd"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    (folder / name).write_bytes((images / "00.png").read_bytes())
    assert fmx_run("odd").stdout.startswith("odd/caf\\udce9.png: ")
    for form in ("--json", "--jsonl"):
        done = fmx_run(form, "odd")
        decoded = json.loads(done.stdout)
        assert (decoded[0] if form == "--json" else decoded)["path"] == f"odd/{name}"
        assert (done.returncode, done.stderr) == (0, "")


def test_paths_with_line_ends(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """Each image is one line, good or bad, even if its path has several."""
    (tmp_path / "two\nlines.png").write_bytes(b"")
    (tmp_path / "or\nthree\n.png").write_bytes((images / "00.png").read_bytes())
    done = fmx_run(".")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fmx-run: 'two\\nlines.png' ")
    (line,) = done.stdout.splitlines()
    assert line.startswith("or\\nthree\\n.png: ")
    (line,) = fmx_run("a" * 300).stderr.splitlines()
    assert line.startswith(f"fmx-run: '{'a' * 300}'")
    assert "File name too long" in line


@pytest.mark.parametrize("threads", ["1", "2"])
def test_order_of_errors(threads: str, fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """Errors keep their places among the results, also with several workers."""
    (tmp_path / "empty").mkdir()
    many = [tmp_path / "empty", *sorted(images.iterdir()) * 20, Path("gone.png")] * 2
    done = fmx_run("--jsonl", "--threads", threads, *many, tmp_path / "empty")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["path"] for item in records] == [str(path) for path in (*many, tmp_path / "empty")]
    assert sum("error" in item for item in records) == 5
    assert done.returncode == 1


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("output_format", ["text", "json", "jsonl", "csv"])
def test_scores_that_are_not_finite(
    output_format: str, workers: str, fmx_run: FmxRun, nan_model: Path, tmp_path: Path
) -> None:
    """If a model returns NaN for an image, that image is an error, and JSON contains no NaN."""
    for name, level in (("a.png", 20), ("nan.png", 255), ("z.png", 60)):
        Image.new("L", (12, 12), level).save(tmp_path / name)
    (tmp_path / "labels.txt").write_text("no\nyes\n", "utf-8")
    options = [] if output_format == "text" else [f"--{output_format}"]
    external = ["--labels", "labels.txt", "--input-range", "0..255", "--threads", workers]
    done = fmx_run("a.png", "nan.png", "z.png", *options, *external, model=nan_model)
    message = (
        "'nan.png' cannot be classified: the scores of the model are not finite numbers: "
        "test the model with 'fmx-run --self-test', or export it again"
    )
    assert (done.returncode, done.stderr) == (1, f"fmx-run: {message}\n")
    assert "NaN" not in done.stdout
    if output_format == "text":
        assert done.stdout == "a.png: yes 80.0%\nz.png: yes 80.0%\n"
        return
    if output_format == "csv":
        records = list(csv.DictReader(io.StringIO(done.stdout)))
    elif output_format == "json":
        records = json.loads(done.stdout, parse_constant=pytest.fail)
    else:
        records = [
            json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()
        ]
    first, failed, last = records
    assert (first["path"], first["label"], last["path"]) == ("a.png", "yes", "z.png")
    assert failed["path"] == "nan.png"
    assert failed["error"] == message
    assert not failed.get("label")
    assert not failed.get("score")
