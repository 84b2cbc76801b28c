from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import queue
import re
import signal
import subprocess
import threading
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from fmx_runtime import Classifier
from fmx_runtime.images.preprocess import to_pixels
from fmx_runtime.sources.camera import frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fmx_training.data.dataset import Splits

    FmxRun = Callable[..., subprocess.CompletedProcess[str]]


NAMES = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


def record(path: Path, top_k: int, model: Path) -> dict[str, Any]:
    """Return the documented JSON object for an image, made with the library."""
    predictions = Classifier(model).classify(path, top_k)
    top = [{"label": item.label, "score": round(item.score, 6)} for item in predictions]
    return {"path": str(path), "label": top[0]["label"], "score": top[0]["score"], "top": top}


@pytest.mark.parametrize("name", NAMES)
def test_one_image(name: str, fmx_run: FmxRun, exported: Path, images: Path) -> None:
    """Each model prints one line to stdout and nothing to stderr."""
    path = images / "03.png"
    done = fmx_run(path, model=exported / f"baseline.{name}")
    (best,) = Classifier(exported / f"baseline.{name}").classify(path, 1)
    assert done.stdout == f"{path}: {best.label} {best.score:.1%}\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_top_k(fmx_run: FmxRun, exported: Path, images: Path) -> None:
    """``--top-k`` prints that many labels, best first, on one line; all if there are fewer."""
    path = images / "00.png"
    classifier = Classifier(exported / "baseline.int8.tflite")
    for top_k in (3, 99):
        done = fmx_run("--top-k", str(top_k), path)
        predictions = classifier.classify(path, top_k)
        line = "  ".join(f"{item.label} {item.score:.1%}" for item in predictions)
        assert done.stdout == f"{path}: {line}\n"


@pytest.mark.parametrize("top_k", [1, 4])
def test_json_lines(top_k: int, fmx_run: FmxRun, exported: Path, images: Path) -> None:
    """``--jsonl`` prints one object per image, in the given order and the documented form."""
    paths = [images / name for name in ("02.png", "00.png", "01.png")]
    done = fmx_run("--jsonl", "--top-k", str(top_k), *paths)
    model = exported / "baseline.int8.tflite"
    expected = [record(path, top_k, model) for path in paths]
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    assert (done.returncode, done.stderr) == (0, "")


def test_json(fmx_run: FmxRun, images: Path) -> None:
    """``--json`` prints one array of the objects of ``--jsonl``."""
    paths = sorted(images.iterdir())
    lines = fmx_run("--jsonl", "--top-k", "2", *paths).stdout.splitlines()
    done = fmx_run("--json", "--top-k", "2", *paths)
    assert json.loads(done.stdout) == [json.loads(line) for line in lines]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("top_k", [1, 3])
def test_csv(top_k: int, fmx_run: FmxRun, exported: Path, images: Path, tmp_path: Path) -> None:
    """``--csv`` prints a header and one row per image, also for odd paths and errors."""
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
    message = done.stderr.removeprefix("fmx-run: ").removesuffix("\n")
    assert rows[2] == ["gone.png", "", "", message, *[""] * len(more)]
    assert rows[3][0] == odd.name
    assert done.stdout.startswith(f"{','.join(head)}\n{images}")
    assert done.returncode == 1


def test_patterns(fmx_run: FmxRun, images: Path) -> None:
    """A pattern that no shell expanded means the matching images; no match is an error."""
    done = fmx_run("--jsonl", f"{images}/0[1-3].png", "*.png")
    names = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert names == [*(f"{images}/0{index}.png" for index in (1, 2, 3)), "*.png"]
    assert (done.returncode, done.stderr) == (
        1,
        "fmx-run: no file matches '*.png': check the pattern\n",
    )


def test_folders(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """A folder means all images in it, at any depth."""
    folder = tmp_path / "shop"
    (folder / "b" / "c").mkdir(parents=True)
    for name in ("z.png", "b/y.PNG", "b/c/x.png"):
        (folder / name).write_bytes((images / "00.png").read_bytes())
    (folder / "notes.txt").write_text("no image", "utf-8")
    done = fmx_run("--jsonl", "shop", images / "01.png")
    paths = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert paths == ["shop/b/c/x.png", "shop/b/y.PNG", "shop/z.png", str(images / "01.png")]
    assert (done.returncode, done.stderr) == (0, "")


def test_model_from_the_environment(fmx_run: FmxRun, exported: Path, images: Path) -> None:
    """Without ``--model``, $FMX_MODEL is used, even if there is another model."""
    model = exported / "baseline.float32.onnx"
    done = fmx_run("--jsonl", images / "00.png", model=None, FMX_MODEL=str(model))
    assert json.loads(done.stdout) == record(images / "00.png", 1, model)
    done = fmx_run(images / "00.png", model=None, FMX_MODEL="gone.tflite")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "fmx-run: model 'gone.tflite' does not exist\n"


def test_newest_model(fmx_run: FmxRun, exported: Path, images: Path, tmp_path: Path) -> None:
    """Without either, the newest int8 TFLite file here or in exports/*/ is used."""
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


def test_shipped_model(fmx_run: FmxRun, images: Path) -> None:
    """If there is no other model, the one in the package is used, and passes its self-test."""
    done = fmx_run(images / "00.png", model=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r".*: .+ \d+\.\d%\n", done.stdout)
    proved = fmx_run("--self-test", model=None)
    assert proved.returncode == 0
    assert "edge.int8.tflite" in proved.stdout


def test_backend_and_threads(fmx_run: FmxRun, images: Path) -> None:
    """``--backend`` and ``--threads`` do not change the results."""
    plain = fmx_run(images)
    assert len(plain.stdout.splitlines()) == 12
    for options in (("--backend", "ai-edge-litert"), ("--threads", "2")):
        assert fmx_run(*options, images).stdout == plain.stdout


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_results_come_at_once(
    separator: str, start: Callable[..., subprocess.Popen[str]], images: Path
) -> None:
    """Each path on stdin is classified before the next one arrives."""
    process = start("-", stdin=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    for name in ("00.png", "01.png", "00.png"):
        process.stdin.write(f"{images / name}{separator}")
        process.stdin.flush()
        assert process.stdout.readline().startswith(f"{images / name}: ")
    assert process.poll() is None
    _, messages = process.communicate(f"gone.png{separator}")
    assert (process.returncode, len(messages.splitlines())) == (1, 1)


def test_image_on_stdin(
    start: Callable[..., subprocess.Popen[str]], exported: Path, images: Path
) -> None:
    """``-`` reads an encoded image from stdin."""
    with (images / "03.png").open("rb") as image:
        process = start("--jsonl", "-", stdin=image)
    expected = record(images / "03.png", 1, exported / "baseline.int8.tflite")
    assert json.loads(process.communicate()[0]) == {**expected, "path": "-"}
    assert process.returncode == 0


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\0\0\0\0\0rest", b"a" * 10_000])
def test_other_input_on_stdin(
    content: bytes, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Input that is neither an image nor paths is one line; exit code 1."""
    (tmp_path / "content").write_bytes(content)
    with (tmp_path / "content").open("rb") as file:
        out, err = start("-", stdin=file).communicate()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("fmx-run: ")
    assert "standard input" in err


def test_save_preprocessed(
    fmx_run: FmxRun, exported: Path, boot: Image.Image, tmp_path: Path
) -> None:
    """``--save-preprocessed`` writes the model's input as a PNG file, and classifies the image."""
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


def test_save_preprocessed_errors(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """No file is written for a bad image, for several images, or into a missing folder."""
    (tmp_path / "bad.png").write_bytes(b"")
    done = fmx_run("--save-preprocessed", "seen.png", "bad.png")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    done = fmx_run("--save-preprocessed", "seen.png", images)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "exactly one image" in done.stderr
    done = fmx_run("--save-preprocessed", "gone/seen.png", images / "00.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fmx-run: cannot write 'gone/seen.png': folder 'gone' does not exist\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png"]


def test_save_preprocessed_over_the_image(fmx_run: FmxRun, images: Path, tmp_path: Path) -> None:
    """``--save-preprocessed`` does not replace the image itself."""
    content = (images / "00.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content)
    done = fmx_run("--save-preprocessed", "./a.png", "a.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "fmx-run: cannot write 'a.png': it is the image itself; choose another file\n"
    )
    assert (tmp_path / "a.png").read_bytes() == content


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch(
    number: signal.Signals,
    start: Callable[..., subprocess.Popen[str]],
    images: Path,
    tmp_path: Path,
) -> None:
    """Each new image is classified, bad ones are errors, and a signal ends it with exit code 0."""
    folder = tmp_path / "camera"
    folder.mkdir()
    process = start("--jsonl", "--watch", "camera")
    assert process.stdout
    assert process.stderr
    lines = _Lines(process.stdout)
    path = _until_watched(folder, images / "00.png", lines)
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "good.png").write_bytes((images / "01.png").read_bytes())
    records = [json.loads(line) for line in (lines.next_but(path), lines.next_but(path))]
    assert [item["path"] for item in records] == ["camera/bad.png", "camera/good.png"]
    assert set(records[0]) == {"path", "error"}
    process.send_signal(number)
    assert process.wait(10) == 0
    (message,) = process.stderr.read().splitlines()
    assert message == f"fmx-run: {records[0]['error']}"


class _Lines:
    """The lines that a process prints, read in a thread."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(
            target=lambda: [self._lines.put(line) for line in stream], daemon=True
        ).start()

    def next(self, seconds: float = 20) -> str:
        return self._lines.get(timeout=seconds)

    def next_but(self, path: str) -> str:
        """Return the next line that is not about ``path``."""
        while json.loads(line := self.next())["path"] == path:
            pass
        return line


def _until_watched(folder: Path, image: Path, lines: _Lines) -> str:
    """Write an image until it is classified: it is not known when watching begins."""
    for _ in range(100):
        # whole at once, as the one before it may just be read
        (folder / ".first.png").write_bytes(image.read_bytes())
        (folder / ".first.png").rename(folder / "first.png")
        with contextlib.suppress(queue.Empty):
            return str(json.loads(lines.next(0.2))["path"])
    pytest.fail("no image was classified")


@pytest.fixture
def video(splits: Splits, tmp_path: Path) -> Path:
    """Return a lossless video of five test images."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 5, (64, 64), True)
    for image in splits.test.images[:5, :, :, 0]:
        frame = cv2.resize(image, (64, 64), interpolation=cv2.INTER_NEAREST)
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def test_camera(fmx_run: FmxRun, exported: Path, video: Path) -> None:
    """Each frame is classified, with its number; in a pipe each has a line."""
    classifier = Classifier(exported / "baseline.int8.tflite")
    expected = [classifier.classify(frame, 1)[0] for frame in frames(str(video))]
    assert len(expected) == 5
    done = fmx_run("--jsonl", "--camera", video)
    for number, (line, item) in enumerate(zip(done.stdout.splitlines(), expected, strict=True)):
        top = {"label": item.label, "score": round(item.score, 6)}
        assert json.loads(line) == {
            "path": f"camera:{video}", "frame": number, **top, "top": [top]
        }  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    done = fmx_run("--camera", video)
    assert done.stdout.splitlines()[4] == (
        f"camera:{video} frame 4: {expected[4].label} {expected[4].score:.1%}"
    )
    done = fmx_run("--csv", "--camera", video)
    assert done.stdout.splitlines()[:2] == [
        "path,label,score,error,frame",
        f"camera:{video},{expected[0].label},{round(expected[0].score, 6)},,0",
    ]


def test_sources_that_do_not_exist(fmx_run: FmxRun) -> None:
    """A missing video or folder is one line on stderr."""
    for arguments in (("--camera", "gone.avi"), ("--watch", "gone")):
        done = fmx_run(*arguments)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert "gone" in done.stderr
