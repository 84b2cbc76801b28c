from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from fmx_export.embed import embed
from fmx_runtime import Classifier, cli, golden
from fmx_runtime.self_test import self_test

if TYPE_CHECKING:
    from collections.abc import Callable

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]

COMMAND = Path(sys.executable).with_name("fmx-run")
NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


def record(path: Path, top_k: int, model: Path) -> dict[str, Any]:
    """What the library says of a picture, in the form that the command documents."""
    answer = Classifier(model).classify(path, top_k)
    top = [{"label": item.label, "score": round(item.score, 6)} for item in answer]
    return {"path": str(path), "label": top[0]["label"], "score": top[0]["score"], "top": top}


def mixed(pictures: Path, folder: Path) -> list[Path]:
    """A good picture, four that are none, and another good one."""
    (folder / "text.png").write_text("no picture\n", "utf-8")
    (folder / "short.png").write_bytes((pictures / "00.png").read_bytes()[:150])
    (folder / "empty").mkdir()
    bad = [folder / name for name in ("text.png", "short.png", "gone.png", "empty")]
    return [pictures / "00.png", *bad, pictures / "01.png"]


@pytest.mark.parametrize("name", NAMES)
def test_one_picture(name: str, fmx_run: FmxRun, exported: Path, pictures: Path) -> None:
    """Each model file answers with a line on stdout, and nothing at all on stderr."""
    path = pictures / "03.png"
    done = fmx_run(path, model=exported / f"baseline.{name}")
    (best,) = Classifier(exported / f"baseline.{name}").classify(path, 1)
    assert done.stdout == f"{path}: {best.label} {best.score:.1%}\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_several_labels(fmx_run: FmxRun, exported: Path, pictures: Path) -> None:
    """``--top-k`` gives that many labels, best first, on one line; all where there are fewer."""
    path = pictures / "00.png"
    classifier = Classifier(exported / "baseline.int8.tflite")
    for top_k in (3, 99):
        done = fmx_run("--top-k", str(top_k), path)
        answer = classifier.classify(path, top_k)
        line = "  ".join(f"{item.label} {item.score:.1%}" for item in answer)
        assert done.stdout == f"{path}: {line}\n"


@pytest.mark.parametrize("top_k", [1, 4])
def test_json_lines(top_k: int, fmx_run: FmxRun, exported: Path, pictures: Path) -> None:
    """``--jsonl`` gives an object a picture, in the order given, in the documented form."""
    paths = [pictures / name for name in ("02.png", "00.png", "01.png")]
    done = fmx_run("--jsonl", "--top-k", str(top_k), *paths)
    model = exported / "baseline.int8.tflite"
    expected = [record(path, top_k, model) for path in paths]
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    assert (done.returncode, done.stderr) == (0, "")


def test_json(fmx_run: FmxRun, pictures: Path) -> None:
    """``--json`` gives one array of the objects that ``--jsonl`` gives."""
    paths = sorted(pictures.iterdir())
    lines = fmx_run("--jsonl", "--top-k", "2", *paths).stdout.splitlines()
    done = fmx_run("--json", "--top-k", "2", *paths)
    assert json.loads(done.stdout) == [json.loads(line) for line in lines]
    assert (done.returncode, done.stderr) == (0, "")


def test_folders(fmx_run: FmxRun, pictures: Path, tmp_path: Path) -> None:
    """A folder stands for the pictures below it, at any depth, beside files that are named."""
    folder = tmp_path / "shop"
    (folder / "b" / "c").mkdir(parents=True)
    for name in ("z.png", "b/y.PNG", "b/c/x.png"):
        (folder / name).write_bytes((pictures / "00.png").read_bytes())
    (folder / "notes.txt").write_text("no picture", "utf-8")
    done = fmx_run("--jsonl", "shop", pictures / "01.png")
    paths = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert paths == ["shop/b/c/x.png", "shop/b/y.PNG", "shop/z.png", str(pictures / "01.png")]
    assert (done.returncode, done.stderr) == (0, "")


def test_bad_pictures_among_good_ones(fmx_run: FmxRun, pictures: Path, tmp_path: Path) -> None:
    """Good pictures are answered; each bad one is a line on stderr that names it; exit code 1."""
    paths = mixed(pictures, tmp_path)
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
def test_bad_pictures_in_json(
    form: str, fmx_run: FmxRun, exported: Path, pictures: Path, tmp_path: Path
) -> None:
    """A picture that could not be answered is ``{"path", "error"}`` in its place."""
    paths = mixed(pictures, tmp_path)
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


def test_odd_pictures_are_answered_silently(fmx_run: FmxRun, tmp_path: Path) -> None:
    """What Pillow warns of, and reads all the same, leaves stderr empty."""
    chance = np.random.default_rng(0)
    picture = Image.fromarray(chance.integers(0, 255, (50, 40, 3), np.uint8))
    picture.save(tmp_path / "exif.jpg", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[282] = 72.0
    picture.save(tmp_path / "tags.tif", tiffinfo=tags)
    Image.new("1", (9500, 9500)).save(tmp_path / "huge.png")
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(tmp_path / "huge.png")
    done = fmx_run(".")
    assert len(done.stdout.splitlines()) == 3
    assert (done.returncode, done.stderr) == (0, "")


def test_broken_tiffs_are_one_line_each(fmx_run: FmxRun, tmp_path: Path) -> None:
    """What Pillow logs, and libtiff writes to stderr itself, is kept off: one line a picture."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8))
    picture.save(tmp_path / "whole.tif", compression="tiff_lzw")
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


def test_names_that_are_no_text(fmx_run: FmxRun, pictures: Path, tmp_path: Path) -> None:
    """A file name that is no UTF-8 is escaped in text; in JSON it is told exactly."""
    folder = tmp_path / "odd"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    (folder / name).write_bytes((pictures / "00.png").read_bytes())
    assert fmx_run("odd").stdout.startswith("odd/caf\\udce9.png: ")
    for form in ("--json", "--jsonl"):
        done = fmx_run(form, "odd")
        answer = json.loads(done.stdout)
        assert (answer[0] if form == "--json" else answer)["path"] == f"odd/{name}"
        assert (done.returncode, done.stderr) == (0, "")


def test_names_of_several_lines(fmx_run: FmxRun, tmp_path: Path) -> None:
    """A bad picture is one line on stderr even where its name is two."""
    (tmp_path / "two\nlines.png").write_bytes(b"")
    done = fmx_run(".")
    assert done.stderr == "fmx-run: 'two lines.png': no picture that can be read\n"
    done = fmx_run("a" * 300)
    assert done.stderr == f"fmx-run: '{'a' * 300}': File name too long\n"


def test_the_model_of_the_environment(fmx_run: FmxRun, exported: Path, pictures: Path) -> None:
    """Without ``--model``, $FMX_MODEL is used, also where there is another model."""
    model = exported / "baseline.float32.onnx"
    done = fmx_run("--jsonl", pictures / "00.png", model=None, FMX_MODEL=str(model))
    assert json.loads(done.stdout) == record(pictures / "00.png", 1, model)
    done = fmx_run(pictures / "00.png", model=None, FMX_MODEL="gone.tflite")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "fmx-run: model 'gone.tflite' does not exist\n"


def test_the_newest_model(fmx_run: FmxRun, exported: Path, pictures: Path, tmp_path: Path) -> None:
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
        done = fmx_run(pictures / "00.png", model=None, FMX_MODEL="")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


def test_no_model(fmx_run: FmxRun, pictures: Path) -> None:
    """Where there is no model, one line says how to give one; exit code 3."""
    done = fmx_run(pictures / "00.png", model=None)
    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(r"fmx-run: no model: .*--model FILE.*\$FMX_MODEL.*\n", done.stderr)


@pytest.mark.parametrize("kind", ["gone", "text", "folder", "damaged", "other format"])
def test_a_model_that_cannot_be_used(
    kind: str,
    fmx_run: FmxRun,
    exported: Path,
    pictures: Path,
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
    done = fmx_run("--json", *more, pictures / "00.png", model=model)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fmx-run: ")
    assert f"'{model}'" in line


def test_a_backend_and_threads(fmx_run: FmxRun, pictures: Path) -> None:
    """The interpreter and its threads can be chosen, and the answer is the same."""
    plain = fmx_run(pictures)
    for options in (("--backend", "ai-edge-litert"), ("--threads", "2")):
        assert fmx_run(*options, pictures).stdout == plain.stdout


@pytest.fixture
def other_models(exported: Path, tmp_path: Path) -> dict[str, Path]:
    """A real file whose golden answers are slightly, and quite, others; and one without any."""
    whole = exported / "baseline.int8.onnx"
    card = Classifier(whole).card
    assert card.golden
    pixels, outputs = golden.decode(card.golden, card.input.shape)
    model = whole.read_bytes()[: card.model_bytes]
    vectors = {
        "near": golden.encode(pixels, outputs + np.float32(1 / 256)),
        "far": golden.encode(pixels, outputs[:, ::-1]),
        "none": None,
    }
    paths = {name: tmp_path / f"{name}.int8.onnx" for name in vectors}
    for name, path in paths.items():
        path.write_bytes(embed(model, dataclasses.replace(card, golden=vectors[name])))
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_self_test(name: str, fmx_run: FmxRun, exported: Path) -> None:
    """``--self-test MODEL`` says on one line that a file answers exactly, and with what."""
    path = exported / f"baseline.{name}"
    done = fmx_run("--self-test", path, model=None)
    backend = Classifier(path).backend
    assert done.stdout == f"{path}: exact (3 golden pictures, {backend})\n"
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
    assert near.startswith(f"{other_models['near']}: within tolerance (3 golden pictures, onnx")
    assert near.endswith(", largest difference 0.0039 of 0.035)")
    assert far.startswith(f"{other_models['far']}: wrong (3 golden pictures, onnxruntime ")
    assert far.endswith(" of 0.035, other labels on top)")
    assert last.startswith(f"{whole}: exact ")
    none, gone = done.stderr.splitlines()
    assert none == (
        f"fmx-run: '{other_models['none']}': carries no golden pictures to test itself with; "
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
def test_a_reader_that_goes_away(form: str | None, exported: Path, pictures: Path) -> None:
    """``fmx-run … | head -1`` gives its line, and ends as if all was well, without a word."""
    many = [str(pictures)] * 50
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


def test_a_reader_that_never_was(exported: Path, pictures: Path) -> None:
    """The same where answers and complaints go to one pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [COMMAND, "--model", exported / "baseline.int8.tflite", "gone.png", pictures],
        stdout=writing,
        stderr=writing,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("form", ["--jsonl", "--json", None])
def test_no_room_for_the_answers(form: str | None, exported: Path, pictures: Path) -> None:
    """Answers that cannot be written, as on a full disk, are one line and exit code 1."""
    options = [form] if form else []
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [COMMAND, "--model", exported / "baseline.int8.tflite", *options, pictures],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "fmx-run: cannot write the answers: No space left on device\n"


def test_closed_streams(exported: Path, pictures: Path) -> None:
    """Started without a stderr, it answers; complaints do not get among the answers."""
    done = subprocess.run(
        [COMMAND, "--model", exported / "baseline.int8.tflite", "gone.png", pictures / "00.png"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: os.close(2),
    )
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(str(pictures / "00.png"))


def test_interrupted(exported: Path, pictures: Path) -> None:
    """Ctrl-C ends it with exit code 130 and no traceback; answers so far are out."""
    process = subprocess.Popen(
        [COMMAND, "--model", exported / "baseline.int8.tflite", "--jsonl", *[pictures] * 20_000],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert json.loads(process.stdout.readline())["path"]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert all(json.loads(line) for line in out.splitlines())


def test_answers_come_as_they_are_ready(exported: Path, pictures: Path, tmp_path: Path) -> None:
    """A line is out before the next picture is there: pictures can be fed one by one."""
    fifo = tmp_path / "late.png"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [COMMAND, "--model", exported / "baseline.int8.tflite", pictures / "00.png", fifo],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline().startswith(str(pictures / "00.png"))
    assert process.poll() is None
    fifo.write_bytes(b"no picture")
    process.communicate()
    assert process.returncode == 1


def test_in_process(exported: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`main` returns the exit code, so that other programs can call it; nothing stays changed."""
    before = sys.stderr
    model = str(exported / "baseline.int8.tflite")
    assert cli.main(["--model", model, "--jsonl", str(pictures / "00.png")]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(pictures / "00.png")
    assert cli.main(["--model", "gone", str(pictures / "00.png")]) == 3
    assert capsys.readouterr() == ("", "fmx-run: model 'gone' does not exist\n")
    assert sys.stderr is before


def test_as_a_module(exported: Path, pictures: Path) -> None:
    """``python -m fmx_runtime.cli`` is the same command, exit codes too."""
    for picture, code in ((pictures / "00.png", 0), ("gone.png", 1)):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "fmx_runtime.cli",
                "--model",
                exported / "baseline.int8.onnx",
                picture,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
