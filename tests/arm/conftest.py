"""Real images, and what this machine answers to them, for a device to be compared with."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from fmx_runtime import Classifier
from fmx_runtime.images.preprocess import to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fmx_runtime.model_file.metadata import InputSpec
    from fmx_training.data.dataset import Splits

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT.parent / "shared" / "photos" / "validation"
IMAGES = 200
MODELS = ["float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx"]


def _specs(gray: InputSpec) -> dict[str, InputSpec]:
    """The model's own input, and one in colour that is stretched."""
    colour = replace(
        gray, height=48, width=64, channels=3, resize="stretch", polarity="any", subject="whole"
    )
    return {"gray": gray, "colour": colour}


def _digests(folder: Path, gray: InputSpec) -> dict[str, str]:
    """SHA-256 of the pixels of each image, in each kind of input."""
    return {
        f"{path.name} {kind}": hashlib.sha256(to_pixels(path, spec).tobytes()).hexdigest()
        for path in sorted((folder / "files").iterdir())
        for kind, spec in _specs(gray).items()
    }


@pytest.fixture(scope="session")
def digests() -> Callable[[Path, InputSpec], dict[str, str]]:
    """``digests(prepared, input)``: of the pixels that the prepared images become."""
    return _digests


def _logits(model: Path, images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The integers that go into an int8 TFLite file's softmax, by LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        interpreter = Interpreter(str(model), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    (softmax,) = (operator for operator in operators if operator["op_name"] == "SOFTMAX")
    (pixels,) = interpreter.get_input_details()
    found = []
    for image in images:
        interpreter.set_tensor(pixels["index"], image[np.newaxis])
        interpreter.invoke()
        found.append(interpreter.get_tensor(softmax["inputs"][0])[0])
    return np.stack(found)


@pytest.fixture(scope="session")
def logits() -> Callable[[Path, NDArray[np.uint8]], NDArray[np.int8]]:
    """``logits(model, images)``: what an int8 TFLite file computes before its softmax."""
    return _logits


@pytest.fixture(scope="session")
def prepare(
    exported: Path, splits: Splits, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Path]:
    """Makes the folder that the tests on the device take their data from."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("prepared")
        (folder / "exported").symlink_to(exported)
        test = splits.test
        np.savez(
            folder / "images.npz",
            images=test.images[:IMAGES],
            labels=test.labels[:IMAGES],
            class_names=test.class_names,
        )
        (folder / "files").mkdir()
        for name, content in _encoded(splits):
            (folder / "files" / name).write_bytes(content)
        answers = {}
        for model in MODELS:
            classifier = Classifier(exported / f"baseline.{model}")
            answers[model] = classifier.predict(test.images[:IMAGES])
        logits = _logits(exported / "baseline.int8.tflite", test.images[:IMAGES])
        np.savez(folder / "answers.npz", logits=logits, **answers)
        _old_answers(exported, folder)
        pixels = _digests(folder, classifier.metadata.input)
        (folder / "digests.json").write_text(json.dumps(pixels), "utf-8")
        return folder

    return make


def _encoded(splits: Splits) -> Iterator[tuple[str, bytes]]:
    """Real images in the formats and modes that people have."""
    images = splits.test.images[:, :, :, 0]
    for index in range(60):
        yield f"{index:02}.png", _file(Image.fromarray(images[index]), "PNG")
    large = Image.fromarray(255 - images[0]).resize((300, 400)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, mode, form, options in (
        ("palette.png", "P", "PNG", {"transparency": 3}),
        ("alpha.png", "RGBA", "PNG", {}),
        ("deep.png", "I;16", "PNG", {}),
        ("turned.jpg", "RGB", "JPEG", {"exif": exif, "quality": 85}),
        ("progressive.jpg", "RGB", "JPEG", {"progressive": True}),
        ("cmyk.jpg", "CMYK", "JPEG", {}),
        ("lossy.webp", "RGB", "WEBP", {}),
        ("exact.webp", "RGB", "WEBP", {"lossless": True}),
        ("still.gif", "P", "GIF", {}),
        ("plain.bmp", "RGB", "BMP", {}),
        ("packed.tif", "RGB", "TIFF", {"compression": "tiff_lzw"}),
        ("binary.ppm", "RGB", "PPM", {}),
    ):
        image = large
        if mode == "I;16":
            image = Image.fromarray(np.asarray(large.convert("L")).astype(np.uint16) * 257)
        yield name, _file(image.convert(mode) if image.mode != mode else image, form, options)
    huge = large.resize((3000, 4000), Image.Resampling.BICUBIC)
    yield "huge.jpg", _file(huge, "JPEG")
    yield "huge.png", _file(huge, "PNG")
    if PHOTOS.exists():
        for path in sorted(PHOTOS.glob("*/*.jpg"))[::4]:
            yield f"photo-{path.parent.name}-{path.name}", path.read_bytes()


def _file(image: Image.Image, form: str, options: dict[str, Any] | None = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **(options or {}))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def device() -> Path:
    """The folder of the emulated device; ``make test-arm64`` names it."""
    if "FMX_DEVICE" not in os.environ:
        pytest.skip("there is no emulated device: 'make test-arm64' makes one, and tests on it")
    return Path(os.environ["FMX_DEVICE"])


OLD_ANSWERS = """
import sys
import numpy as np
from fmx_runtime import Classifier
model, images, answers = sys.argv[1:]
classifier = Classifier(model, backend="tflite-runtime")
with np.load(images) as arrays:
    np.savez(answers, **{"int8.tflite": classifier.predict(arrays["images"])})
"""


def _old_answers(exported: Path, folder: Path) -> None:
    """What tflite-runtime 2.14 says on this machine, in an environment of its own."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "-q", "--python", venv / "bin" / "python", "install"]
    wheels = ["tflite-runtime==2.14.0", "numpy<2", "pillow"]
    subprocess.run([*pip, "--only-binary", ":all:", *wheels], check=True)
    files = [exported / "baseline.int8.tflite", folder / "images.npz", folder / "old_answers.npz"]
    subprocess.run(
        [venv / "bin" / "python", "-c", OLD_ANSWERS, *files],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "runtime")},
    )
