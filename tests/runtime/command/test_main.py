from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin

from fmx_export.pipeline.metadata_writer import embed
from fmx_runtime import Classifier
from fmx_runtime.command import info, main
from fmx_runtime.command.self_test import self_test
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.model_file import test_vectors
from fmx_runtime.sources.camera import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fmx_training.data.dataset import Splits

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]

COMMAND = Path(sys.executable).with_name("fmx-run")
NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


def record(path: Path, top_k: int, model: Path) -> dict[str, Any]:
    """What the library says of an image, in the form that the command documents."""
    answer = Classifier(model).classify(path, top_k)
    top = [{"label": item.label, "score": round(item.score, 6)} for item in answer]
    return {"path": str(path), "label": top[0]["label"], "score": top[0]["score"], "top": top}


def mixed(images: Path, folder: Path) -> list[Path]:
    """A good image, four that are none, and another good one."""
    (folder / "text.png").write_text("no image\n", "utf-8")
    (folder / "short.png").write_bytes((images / "00.png").read_bytes()[:150])
    (folder / "empty").mkdir()
    bad = [folder / name for name in ("text.png", "short.png", "gone.png", "empty")]
    return [images / "00.png", *bad, images / "01.png"]


@pytest.mark.parametrize("name", NAMES)
def test_one_image(name: str, fmx_run: FmxRun, exported: Path, images: Path) -> None:
    """Each model file answers with a line on stdout, and nothing at all on stderr."""
    path = images / "03.png"
    done = fmx_run(path, model=exported / f"baseline.{name}")
    (best,) = Classifier(exported / f"baseline.{name}").classify(path, 1)
    assert done.stdout == f"{path}: {best.label} {best.score:.1%}\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_several_labels(fmx_run: FmxRun, exported: Path, images: Path) -> None:
    """``--top-k`` gives that many labels, best first, on one line; all where there are fewer."""
    path = images / "00.png"
    classifier = Classifier(exported / "baseline.int8.tflite")
    for top_k in (3, 99):
        done = fmx_run("--top-k", str(top_k), path)
        answer = classifier.classify(path, top_k)
        line = "  ".join(f"{item.label} {item.score:.1%}" for item in answer)
        assert done.stdout == f"{path}: {line}\n"


@pytest.mark.parametrize("top_k", [1, 4])
def test_json_lines(top_k: int, fmx_run: FmxRun, exported: Path, images: Path) -> None:
    """``--jsonl`` gives an object an image, in the order given, in the documented form."""
    paths = [images / name for name in ("02.png", "00.png", "01.png")]
    done = fmx_run("--jsonl", "--top-k", str(top_k), *paths)
    model = exported / "baseline.int8.tflite"
    expected = [record(path, top_k, model) for path in paths]
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    assert (done.returncode, done.stderr) == (0, "")


def test_json(fmx_run: FmxRun, images: Path) -> None:
    """``--json`` gives one array of the objects that ``--jsonl`` gives."""
    paths = sorted(images.iterdir())
    lines = fmx_run("--jsonl", "--top-k", "2", *paths).stdout.splitlines()
    done = fmx_run("--json", "--top-k", "2", *paths)
    assert json.loads(done.stdout) == [json.loads(line) for line in lines]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("top_k", [1, 3])
def test_csv(top_k: int, fmx_run: FmxRun, exported: Path, images: Path, tmp_path: Path) -> None:
    """``--csv`` is a table with a head, whose names may be any, and that says what failed."""
    odd = tmp_path / 'a, "b"\n\nc.png'
    odd.write_bytes((images / "01.png").read_bytes())
    done = fmx_run("--csv", "--top-k", str(top_k), images / "00.png", "gone.png", odd.name)
    head = ["path", "label", "score", "error", "label_2", "score_2", "label_3", "score_3"]
    head = head[: 4 + 2 * (top_k - 1)]
    rows = list(csv.reader(io.StringIO(done.stdout, newline="")))
    assert rows[0] == head
    first = record(images / "00.png", top_k, exported / "baseline.int8.tflite")
    more = [str(item[key]) for item in first["top"][1:] for key in ("label", "score")]
    assert rows[1] == [first["path"], first["label"], str(first["score"]), "", *more]
    complaint = done.stderr.removeprefix("fmx-run: ").removesuffix("\n")
    assert rows[2] == ["gone.png", "", "", complaint, *[""] * len(more)]
    assert rows[3][0] == odd.name
    assert done.stdout.startswith(f"{','.join(head)}\n{images}")
    assert done.returncode == 1


def test_options_may_stand_anywhere(fmx_run: FmxRun, images: Path) -> None:
    """Images may come before, between and behind options."""
    first, last = images / "00.png", images / "01.png"
    assert fmx_run(first, "--jsonl", last).stdout == fmx_run("--jsonl", first, last).stdout


def test_patterns(fmx_run: FmxRun, images: Path) -> None:
    """A pattern that no shell has expanded stands for its images; one for none is an error."""
    done = fmx_run("--jsonl", f"{images}/0[1-3].png", "*.png")
    names = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert names == [*(f"{images}/0{index}.png" for index in (1, 2, 3)), "*.png"]
    assert (done.returncode, done.stderr) == (1, "fmx-run: no file matches '*.png'\n")


def test_folders(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """A folder stands for the images below it, at any depth, beside files that are named."""
    folder = tmp_path / "shop"
    (folder / "b" / "c").mkdir(parents=True)
    for name in ("z.png", "b/y.PNG", "b/c/x.png"):
        (folder / name).write_bytes((images / "00.png").read_bytes())
    (folder / "notes.txt").write_text("no image", "utf-8")
    done = fmx_run("--jsonl", "shop", images / "01.png")
    paths = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert paths == ["shop/b/c/x.png", "shop/b/y.PNG", "shop/z.png", str(images / "01.png")]
    assert (done.returncode, done.stderr) == (0, "")


def test_bad_images_among_good_ones(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """Good images are answered; each bad one is a line on stderr that names it; exit code 1."""
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
    """An image that could not be answered is ``{"path", "error"}`` in its place."""
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


def test_odd_images_are_answered_silently(fmx_run: FmxRun, tmp_path: Path) -> None:
    """What Pillow warns of, and reads all the same, leaves stderr empty."""
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


def test_broken_tiffs_are_one_line_each(fmx_run: FmxRun, tmp_path: Path) -> None:
    """What Pillow logs, and libtiff writes to stderr itself, is kept off: one line an image."""
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


def test_names_that_are_no_text(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """A file name that is no UTF-8 is escaped in text; in JSON it is told exactly."""
    folder = tmp_path / "odd"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    (folder / name).write_bytes((images / "00.png").read_bytes())
    assert fmx_run("odd").stdout.startswith("odd/caf\\udce9.png: ")
    for form in ("--json", "--jsonl"):
        done = fmx_run(form, "odd")
        answer = json.loads(done.stdout)
        assert (answer[0] if form == "--json" else answer)["path"] == f"odd/{name}"
        assert (done.returncode, done.stderr) == (0, "")


def test_names_of_several_lines(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """Each image is one line, good or bad, even where its name has several."""
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


def test_the_model_of_the_environment(fmx_run: FmxRun, exported: Path, images: Path) -> None:
    """Without ``--model``, $FMX_MODEL is used, also where there is another model."""
    model = exported / "baseline.float32.onnx"
    done = fmx_run("--jsonl", images / "00.png", model=None, FMX_MODEL=str(model))
    assert json.loads(done.stdout) == record(images / "00.png", 1, model)
    done = fmx_run(images / "00.png", model=None, FMX_MODEL="gone.tflite")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "fmx-run: model 'gone.tflite' does not exist\n"


def test_the_newest_model(fmx_run: FmxRun, exported: Path, images: Path, tmp_path: Path) -> None:
    """Without any word of a model, it is the newest int8 TFLite file here or in exports/*/."""
    whole = (exported / "baseline.int8.tflite").read_bytes()
    places = ["here.int8.tflite", "exports/one/a.int8.tflite", "exports/two/b.int8.tflite"]
    # newer, and none of those that are meant
    others = [
        "exports/two/b.int8.onnx",
        "exports/two/b.float32.tflite",
        "exports/c.int8.tflite",
        "exports/two/deep/d.int8.tflite",
    ]
    for name in places + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no model")
        os.utime(tmp_path / name, (2e9, 2e9))
    (tmp_path / "broken.int8.tflite").symlink_to("gone")
    (tmp_path / "folder.int8.tflite").mkdir()
    for newest in places:
        for name in places:
            (tmp_path / name).write_bytes(whole if name == newest else b"no model")
            moment = 1e9 + (name == newest)
            os.utime(tmp_path / name, (moment, moment))
        done = fmx_run(images / "00.png", model=None, FMX_MODEL="")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


def test_the_shipped_model(fmx_run: FmxRun, images: Path) -> None:
    """Where there is no other model, the one that comes with the package answers, and proves it."""
    done = fmx_run(images / "00.png", model=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r".*: .+ \d+\.\d%\n", done.stdout)
    proved = fmx_run("--self-test", model=None)
    assert proved.returncode == 0
    assert "edge.int8.tflite" in proved.stdout


@pytest.mark.parametrize("kind", ["gone", "text", "folder", "damaged", "other format"])
def test_a_model_that_cannot_be_used(
    kind: str,
    fmx_run: FmxRun,
    exported: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    """A model that is missing, none, damaged or for another interpreter: one line, exit code 3."""
    model = tmp_path / "model.tflite"
    more: tuple[str, ...] = ()
    if kind == "text":
        model.write_text("no model\n", "utf-8")
    elif kind == "folder":
        model.mkdir()
    elif kind == "damaged":
        content = bytearray((exported / "baseline.int8.tflite").read_bytes())
        content[7000] ^= 1
        model.write_bytes(content)
    elif kind == "other format":
        model.write_bytes((exported / "baseline.int8.tflite").read_bytes())
        more = ("--backend", "onnxruntime")
    done = fmx_run("--json", *more, images / "00.png", model=model)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fmx-run: ")
    assert f"'{model}'" in line


def test_a_backend_and_threads(fmx_run: FmxRun, images: Path) -> None:
    """The interpreter, and how many work, can be chosen, and the answers are the same."""
    plain = fmx_run(images)
    assert len(plain.stdout.splitlines()) == 12
    for options in (("--backend", "ai-edge-litert"), ("--threads", "2")):
        assert fmx_run(*options, images).stdout == plain.stdout


@pytest.mark.parametrize("threads", ["1", "2"])
def test_failures_keep_their_places(
    threads: str, fmx_run: FmxRun, images: Path, tmp_path: Path
) -> None:
    """Whatever fails is told between the answers before and behind it, with several workers too."""
    (tmp_path / "empty").mkdir()
    many = [tmp_path / "empty", *sorted(images.iterdir()) * 20, Path("gone.png")] * 2
    done = fmx_run("--jsonl", "--threads", threads, *many, tmp_path / "empty")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["path"] for item in told] == [str(path) for path in (*many, tmp_path / "empty")]
    assert sum("error" in item for item in told) == 5
    assert done.returncode == 1


@pytest.fixture
def other_models(exported: Path, tmp_path: Path) -> dict[str, Path]:
    """A real file whose expected outputs are slightly, and quite, others; and one without any."""
    whole = exported / "baseline.int8.onnx"
    metadata = Classifier(whole).metadata
    assert metadata.test_vectors
    pixels, outputs = test_vectors.decode(metadata.test_vectors, metadata.input.shape)
    model = whole.read_bytes()[: metadata.model_bytes]
    vectors = {
        "near": test_vectors.encode(pixels, outputs + np.float32(1 / 256)),
        "far": test_vectors.encode(pixels, outputs[:, ::-1]),
        "none": None,
    }
    paths = {name: tmp_path / f"{name}.int8.onnx" for name in vectors}
    for name, path in paths.items():
        path.write_bytes(embed(model, dataclasses.replace(metadata, test_vectors=vectors[name])))
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_self_test(name: str, fmx_run: FmxRun, exported: Path) -> None:
    """``--self-test MODEL`` says on one line that a file answers exactly, and with what."""
    path = exported / f"baseline.{name}"
    done = fmx_run("--self-test", path, model=None)
    backend = Classifier(path).backend
    assert done.stdout == f"{path}: exact (3 test vectors, {backend})\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_self_test_finds_its_model(fmx_run: FmxRun, exported: Path) -> None:
    """The model may also come from ``--model`` or $FMX_MODEL; several are a line each."""
    path, other = exported / "baseline.int8.tflite", exported / "baseline.int8.onnx"
    line = fmx_run("--self-test", path, model=None).stdout
    assert fmx_run("--self-test", model=path).stdout == line
    assert fmx_run("--self-test", model=None, FMX_MODEL=str(path)).stdout == line
    both = fmx_run("--self-test", other, model=path).stdout
    assert both == line + fmx_run("--self-test", other, model=None).stdout


def test_self_test_fails(fmx_run: FmxRun, exported: Path, other_models: dict[str, Path]) -> None:
    """Wrong answers, or none to compare with, end in exit code 3; the other models are tested."""
    whole = exported / "baseline.int8.onnx"
    done = fmx_run("--self-test", *other_models.values(), "gone.tflite", whole, model=None)
    near, far, last = done.stdout.splitlines()
    assert near.startswith(f"{other_models['near']}: within tolerance (3 test vectors, onnx")
    assert near.endswith(", largest difference 0.0039 of 0.1)")
    assert far.startswith(f"{other_models['far']}: wrong (3 test vectors, onnxruntime ")
    assert far.endswith(" of 0.1, other labels on top)")
    assert last.startswith(f"{whole}: exact ")
    none, gone = done.stderr.splitlines()
    assert none == (
        f"fmx-run: '{other_models['none']}': carries no test vectors to test itself with; "
        "export it again"
    )
    assert gone == "fmx-run: model 'gone.tflite' does not exist"
    assert done.returncode == 3
    assert fmx_run("--self-test", other_models["near"], model=None).returncode == 0
    assert fmx_run("--self-test", other_models["far"], model=None).returncode == 3


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_self_test_in_json(form: str, fmx_run: FmxRun, other_models: dict[str, Path]) -> None:
    """In JSON it is the library's result and the path, or ``{"path", "error"}``."""
    paths = list(other_models.values())
    done = fmx_run("--self-test", form, *paths, model=None)
    lines = done.stdout.splitlines()
    objects = json.loads(done.stdout) if form == "--json" else [json.loads(x) for x in lines]
    for item, path in zip(objects, paths[:2], strict=False):
        result = self_test(Classifier(path))
        assert item == {"path": str(path), **dataclasses.asdict(result)}
    assert set(objects[2]) == {"path", "error"}
    assert done.stderr == f"fmx-run: {objects[2]['error']}\n"
    assert done.returncode == 3


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--top-k", "0", "a.png"),
        ("--top-k", "-1", "a.png"),
        ("--top-k", "two", "a.png"),
        ("--top-k", "1.5", "a.png"),
        ("--threads", "0", "a.png"),
        ("--backend", "torch", "a.png"),
        ("--json", "--jsonl", "a.png"),
        ("--no-such-option", "a.png"),
        ("--self-test", "--json", "--jsonl"),
        ("--json", "--csv", "a.png"),
        ("--self-test", "--info"),
        ("--info", "--csv"),
        ("--watch", ".", "a.png"),
        ("--camera", "0", "--watch", "."),
        ("--segment-garment", "maybe", "a.png"),
        ("-", "-"),
        ("--save-preprocessed", "out.png"),
        ("--save-preprocessed", "out.png", "a.png", "b.png"),
        ("--save-preprocessed", "out.jpg", "a.png"),
        ("--save-preprocessed", "out.png", "--watch", "."),
        ("--model",),
    ],
)
def test_usage(arguments: tuple[str, ...], fmx_run: FmxRun) -> None:
    """What the command does not know is explained on stderr; exit code 2."""
    done = fmx_run(*arguments, model=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: fmx-run ")
    assert "fmx-run: error: " in done.stderr


def test_help(fmx_run: FmxRun) -> None:
    """``--help`` names each option and where a model is looked for, on stdout."""
    done = fmx_run("--help", model=None)
    assert (done.returncode, done.stderr) == (0, "")
    words = ("--model", "--top-k", "--json", "--jsonl", "--threads", "--backend", "$FMX_MODEL")
    assert all(word in done.stdout for word in (*words, "--self-test", "MODEL"))


def test_help_is_light() -> None:
    """``fmx-run --help`` imports neither NumPy nor Pillow, let alone an interpreter or more."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    top = {name.partition(".")[0] for name in imported if name.startswith(("fmx_", "numpy"))}
    assert top == {"fmx_runtime"}
    heavy = {"PIL", "tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "typer", "rich"}
    assert not heavy & imported


@pytest.mark.parametrize("form", ["--jsonl", "--json", None])
def test_a_reader_that_goes_away(form: str | None, exported: Path, images: Path) -> None:
    """``fmx-run … | head -1`` gives its line, and ends as if all was well, without a word."""
    many = [str(images)] * 50
    process = subprocess.Popen(
        [
            COMMAND,
            "--model",
            exported / "baseline.int8.tflite",
            "--top-k",
            "10",
            *([form] if form else []),
            *many,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0


def test_a_reader_that_never_was(exported: Path, images: Path) -> None:
    """The same where answers and complaints go to one pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [COMMAND, "--model", exported / "baseline.int8.tflite", "gone.png", images],
        stdout=writing,
        stderr=writing,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("form", ["--jsonl", "--json", None])
def test_no_room_for_the_answers(form: str | None, exported: Path, images: Path) -> None:
    """Answers that cannot be written, as on a full disk, are one line and exit code 1."""
    options = [form] if form else []
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [COMMAND, "--model", exported / "baseline.int8.tflite", *options, images],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "fmx-run: cannot write the answers: No space left on device\n"


def test_closed_streams(exported: Path, images: Path) -> None:
    """Started without a stderr, it answers; complaints do not get among the answers."""
    done = subprocess.run(
        [COMMAND, "--model", exported / "baseline.int8.tflite", "gone.png", images / "00.png"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: os.close(2),
    )
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(str(images / "00.png"))


@pytest.fixture
def start(exported: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``fmx-run`` with the int8 TFLite model, and have it ended at the end."""
    started = []

    def start(*arguments: str | Path, **how: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [COMMAND, "--model", exported / "baseline.int8.tflite", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            **how,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("form", ["--json", "--jsonl", "--csv"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_interrupted(
    number: signal.Signals,
    code: int,
    form: str,
    start: Callable[..., subprocess.Popen[str]],
    images: Path,
) -> None:
    """Ctrl-C and SIGTERM end it without a word; answers so far are out, and JSON is whole."""
    process = start(form, *[images] * 20_000)
    assert process.stdout
    assert process.stderr
    out = process.stdout.readline() + process.stdout.readline()
    process.send_signal(number)
    out += process.stdout.read()
    assert (process.wait(), process.stderr.read()) == (code, "")
    if form == "--json":
        assert all(item["label"] for item in json.loads(out))
    elif form == "--jsonl":
        assert all(json.loads(line)["label"] for line in out.splitlines())
    else:
        assert {len(row) for row in csv.reader(out.splitlines())} == {4}


def test_interrupted_at_once(exported: Path, images: Path) -> None:
    """Ctrl-C while everything is still being imported leaves no traceback either."""
    code = (
        "import sys; from fmx_runtime.command.main import main; print(flush=True); sys.exit(main())"
    )
    arguments = ["--model", exported / "baseline.int8.tflite", images]
    for milliseconds in range(0, 120, 10):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        process.stdout.readline()
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1] == ""
        # the last: when all is answered, and Python itself is about to end
        assert process.returncode in {0, 130, -signal.SIGINT}


IN_A_CALLBACK = """
import signal, time, weakref
from fmx_runtime import cli
class Thing: pass
thing, received = Thing(), []
try:
    with main._signals_raising(received):
        reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing
        time.sleep(5)
except KeyboardInterrupt:
    print("interrupted", received[0] == signal.SIGINT)
"""


def test_interrupted_in_a_callback() -> None:
    """Where Python would print the interrupt and go on, it ends the work all the same."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_CALLBACK], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("interrupted True\n", "")


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_answers_come_as_they_are_ready(
    separator: str, start: Callable[..., subprocess.Popen[str]], images: Path
) -> None:
    """Paths can be sent one by one: each is answered before the next one is known."""
    process = start("-", stdin=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    for name in ("00.png", "01.png", "00.png"):
        process.stdin.write(f"{images / name}{separator}")
        process.stdin.flush()
        assert process.stdout.readline().startswith(f"{images / name}: ")
    assert process.poll() is None
    _, complaints = process.communicate(f"gone.png{separator}")
    assert (process.returncode, len(complaints.splitlines())) == (1, 1)


def test_a_image_on_stdin(
    start: Callable[..., subprocess.Popen[str]], exported: Path, images: Path
) -> None:
    """``-`` takes an encoded image from the standard input."""
    with (images / "03.png").open("rb") as image:
        process = start("--jsonl", "-", stdin=image)
    expected = record(images / "03.png", 1, exported / "baseline.int8.tflite")
    assert json.loads(process.communicate()[0]) == {**expected, "path": "-"}
    assert process.returncode == 0


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\0\0\0\0\0rest", b"a" * 10_000])
def test_neither_on_stdin(
    content: bytes, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """What is neither an image nor a list of paths is one line, and exit code 1."""
    (tmp_path / "content").write_bytes(content)
    with (tmp_path / "content").open("rb") as file:
        out, err = start("-", stdin=file).communicate()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("fmx-run: ")
    assert "standard input" in err


def test_what_the_network_sees(
    fmx_run: FmxRun, exported: Path, boot: Image.Image, tmp_path: Path
) -> None:
    """``--save-preprocessed`` writes the network's very pixels as a PNG of their size; and answers."""
    large = ImageOps.invert(boot).resize((500, 300)).convert("RGB")
    large.save(tmp_path / "large.png")
    done = fmx_run("--save-preprocessed", "seen.png", "large.png")
    assert (done.returncode, done.stderr) == (0, "")
    spec = Classifier(exported / "baseline.int8.tflite").metadata.input
    with Image.open(tmp_path / "seen.png") as seen:
        assert (seen.format, seen.mode, seen.size) == ("PNG", "L", (28, 28))
        assert np.array_equal(np.asarray(seen), to_pixels(large, spec)[:, :, 0])
    # what has the network's size is taken as it is
    again = fmx_run("--save-preprocessed", "again.png", "seen.png")
    assert again.stdout.removeprefix("seen") == done.stdout.removeprefix("large")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "seen.png").read_bytes()


def test_what_the_network_cannot_see(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """No file for a bad image, nor for several in a folder, nor in a folder that is not there."""
    (tmp_path / "bad.png").write_bytes(b"")
    done = fmx_run("--save-preprocessed", "seen.png", "bad.png")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    done = fmx_run("--save-preprocessed", "seen.png", images)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "one image" in done.stderr
    done = fmx_run("--save-preprocessed", "gone/seen.png", images / "00.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fmx-run: cannot write 'gone/seen.png': there is no folder 'gone'\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png"]


def test_the_image_is_not_written_over(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """``--save-preprocessed`` does not replace the image itself."""
    content = (images / "00.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content)
    done = fmx_run("--save-preprocessed", "./a.png", "a.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fmx-run: cannot write 'a.png': it is the image itself\n"
    assert (tmp_path / "a.png").read_bytes() == content


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch(
    number: signal.Signals,
    start: Callable[..., subprocess.Popen[str]],
    images: Path,
    tmp_path: Path,
) -> None:
    """Each new image is answered, bad ones are survived, and it ends well when it is told to."""
    folder = tmp_path / "camera"
    folder.mkdir()
    process = start("--jsonl", "--watch", "camera")
    assert process.stdout
    assert process.stderr
    answers = _Lines(process.stdout)
    path = _until_watched(folder, images / "00.png", answers)
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "good.png").write_bytes((images / "01.png").read_bytes())
    told = [json.loads(line) for line in (answers.next_but(path), answers.next_but(path))]
    assert [item["path"] for item in told] == ["camera/bad.png", "camera/good.png"]
    assert set(told[0]) == {"path", "error"}
    process.send_signal(number)
    assert process.wait(10) == 0
    (complaint,) = process.stderr.read().splitlines()
    assert complaint == f"fmx-run: {told[0]['error']}"


class _Lines:
    """Lines of a process, read while it goes on."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(
            target=lambda: [self._lines.put(line) for line in stream], daemon=True
        ).start()

    def next(self, seconds: float = 20) -> str:
        return self._lines.get(timeout=seconds)

    def next_but(self, path: str) -> str:
        """The next one that does not answer ``path``."""
        while json.loads(line := self.next())["path"] == path:
            pass
        return line


def _until_watched(folder: Path, image: Path, answers: _Lines) -> str:
    """Write an image until it is answered, since nobody tells when watching begins."""
    for _ in range(100):
        # whole at once, as the one before it may just be read
        (folder / ".first.png").write_bytes(image.read_bytes())
        (folder / ".first.png").rename(folder / "first.png")
        with contextlib.suppress(queue.Empty):
            return str(json.loads(answers.next(0.2))["path"])
    pytest.fail("nothing was answered")


@pytest.fixture
def film(splits: Splits, tmp_path: Path) -> Path:
    """A film of five test images, losslessly."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 5, (64, 64), True)
    for image in splits.test.images[:5, :, :, 0]:
        frame = cv2.resize(image, (64, 64), interpolation=cv2.INTER_NEAREST)
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def test_camera(fmx_run: FmxRun, exported: Path, film: Path) -> None:
    """Each frame is answered, with its number, as the library answers it; a line each in a pipe."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    expected = [classifier.classify(frame, 1)[0] for frame in frames(str(film))]
    assert len(expected) == 5
    done = fmx_run("--jsonl", "--camera", film)
    for number, (line, item) in enumerate(zip(done.stdout.splitlines(), expected, strict=True)):
        top = {"label": item.label, "score": round(item.score, 6)}
        assert json.loads(line) == {
            "path": f"camera:{film}", "frame": number, **top, "top": [top]
        }  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    done = fmx_run("--camera", film)
    assert done.stdout.splitlines()[4] == (
        f"camera:{film} frame 4: {expected[4].label} {expected[4].score:.1%}"
    )
    done = fmx_run("--csv", "--camera", film)
    assert done.stdout.splitlines()[:2] == [
        "path,label,score,error,frame",
        f"camera:{film},{expected[0].label},{round(expected[0].score, 6)},,0",
    ]


def test_no_camera(fmx_run: FmxRun) -> None:
    """No such camera, film or folder is one line on stderr."""
    for arguments in (("--camera", "gone.avi"), ("--watch", "gone")):
        done = fmx_run(*arguments)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert "gone" in done.stderr


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_info(form: str, fmx_run: FmxRun, exported: Path) -> None:
    """``--info`` tells of models what the library tells, without an image; bad ones are told."""
    models = [exported / f"baseline.{name}" for name in NAMES]
    done = fmx_run("--info", form, *models, "gone.tflite", model=None)
    lines = done.stdout.splitlines()
    told = json.loads(done.stdout) if form == "--json" else [json.loads(line) for line in lines]
    expected = [info.read(str(path)).record() for path in models]
    assert told[:-1] == json.loads(json.dumps(expected))
    assert set(told[-1]) == {"path", "error"}
    assert (done.returncode, done.stderr) == (3, f"fmx-run: {told[-1]['error']}\n")


def test_info_of_a_damaged_model(fmx_run: FmxRun, exported: Path, tmp_path: Path) -> None:
    """What it says of itself is shown, and what is wrong is said; exit code 3."""
    content = bytearray((exported / "baseline.int8.tflite").read_bytes())
    content[7000] ^= 1
    (tmp_path / "model.tflite").write_bytes(content)
    done = fmx_run("--info", "model.tflite", model=None)
    assert "T-shirt/top" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("fmx-run: 'model.tflite': was changed after it was exported")
    assert done.returncode == 3


def test_info_needs_no_interpreter(
    exported: Path, bare_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Where none is installed, the metadata is shown, with what to install."""
    code = "import sys; from fmx_runtime.command.main import main; sys.exit(main())"
    done = bare_python(code, "--info", exported / "baseline.int8.tflite")
    assert (done.returncode, done.stderr) == (0, "")
    assert "T-shirt/top" in done.stdout
    assert "no interpreter; install one with 'pip install ai-edge-litert'" in done.stdout


def test_in_process(exported: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`main` returns the exit code, so that other programs can call it; nothing stays changed."""
    before = sys.stderr
    model = str(exported / "baseline.int8.tflite")
    assert main.main(["--model", model, "--jsonl", str(images / "00.png")]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(images / "00.png")
    assert main.main(["--model", "gone", str(images / "00.png")]) == 3
    assert capsys.readouterr() == ("", "fmx-run: model 'gone' does not exist\n")
    assert sys.stderr is before


def test_as_a_module(exported: Path, images: Path) -> None:
    """``python -m fmx_runtime.command.main`` is the same command, exit codes too."""
    for image, code in ((images / "00.png", 0), ("gone.png", 1)):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "fmx_runtime.command.main",
                "--model",
                exported / "baseline.int8.onnx",
                image,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
