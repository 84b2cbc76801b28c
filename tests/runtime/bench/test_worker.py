"""The worker process: its tasks and replies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fmx_runtime.classifier import Classifier
from fmx_runtime.support.cores import last_core

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.dataset import Dataset

NAN_WORKER = """
import sys
import numpy as np
from fmx_runtime.bench.worker import serve

class Nan:
    runtime = "none"
    def predict(self, pixels):
        scores = np.full((len(pixels), 10), 0.1, np.float32)
        scores[:, 3] = np.nan
        return scores
    predict_one = predict

sys.exit(serve(sys.argv[1:], lambda path, threads: Nan()))
"""


def _run(
    command: list[str], model: Path, images: Path, **task: object
) -> tuple[int, list[dict[str, Any]]]:
    """Run a worker, and return its exit code and replies."""
    text = json.dumps({"threads": 1, "core": None, **task})
    done = subprocess.run(
        [sys.executable, *command, model, images, text], capture_output=True, text=True, check=False
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


WORKER = ["-m", "fmx_runtime.bench.worker"]


def test_predictions(exported: Path, npy: Path, sample: Dataset, tmp_path: Path) -> None:
    """Predictions and scores are the classifier's, for all images."""
    model = exported / "baseline.int8.tflite"
    labels = tmp_path / "labels.npy"
    np.save(labels, sample.labels)
    code, (introduction, reply) = _run(WORKER, model, npy, labels=str(labels))
    assert code == 0
    assert set(introduction) == {"runtime", "peak_bytes"}
    scores = Classifier(model).predict(sample.images)
    assert reply["predictions"] == scores.argmax(axis=1).tolist()
    assert np.allclose(reply["scores"], scores.max(axis=1), atol=1e-4)
    expected = scores[np.arange(len(scores)), sample.labels]
    assert np.allclose(reply["true_label_scores"], expected, rtol=1e-3)


def test_latencies_and_throughput(exported: Path, npy: Path) -> None:
    """One latency for each iteration, one throughput for each batch size, all above 0."""
    model = exported / "baseline.int8.tflite"
    _, (_, reply) = _run(WORKER, model, npy, iterations=6, warmup=1)
    assert len(reply["latencies_us"]) == 6
    assert min(reply["latencies_us"]) > 0
    _, (_, reply) = _run(WORKER, model, npy, batches=[1, 8])
    assert len(reply["images_per_second"]) == 2
    assert min(reply["images_per_second"]) > 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cannot bind processes to cores")
def test_it_stays_on_its_core(exported: Path, npy: Path, tmp_path: Path) -> None:
    """The process is bound to the core of the task before the model is opened."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import os, sys\n"
        "from fmx_runtime.bench import worker\n"
        "class Model(worker._ModelFile):\n"
        "    runtime = property(lambda self: str(sorted(os.sched_getaffinity(0))))\n"
        "sys.exit(worker.serve(sys.argv[1:], Model))\n",
        "utf-8",
    )
    core = last_core()
    model = exported / "baseline.int8.tflite"
    _, replies = _run([str(worker)], model, npy, core=core, iterations=1, warmup=0)
    assert replies[0]["runtime"] == str([core])


def test_a_model_that_cannot_be_opened(npy: Path) -> None:
    """The error's text and type are the only reply, and its exit code that of the process."""
    code, (reply,) = _run(WORKER, npy, npy, iterations=1, warmup=0)
    assert code == 3
    assert reply["kind"] == "ModelFileError"
    assert "neither a TFLite nor an ONNX model" in reply["error"]


def test_scores_that_are_not_numbers(npy: Path, tmp_path: Path) -> None:
    """NaN in the scores is an error of the model, not a prediction."""
    worker = tmp_path / "worker.py"
    worker.write_text(NAN_WORKER, "utf-8")
    labels = tmp_path / "labels.npy"
    np.save(labels, np.zeros(40, np.int64))
    code, (_, reply) = _run([str(worker)], npy, npy, labels=str(labels))
    assert code == 3
    assert reply["kind"] == "ModelFileError"
    assert "the scores of 40 of 40 images are not finite numbers" in reply["error"]


def test_what_libraries_print_is_no_reply(exported: Path, npy: Path, tmp_path: Path) -> None:
    """Standard output holds replies alone, whatever a library prints."""
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import os, sys\n"
        "from fmx_runtime.bench import worker\n"
        "class Model(worker._ModelFile):\n"
        "    def __init__(self, path, threads):\n"
        "        print('hello'); os.write(1, b'native')\n"
        "        super().__init__(path, threads)\n"
        "sys.exit(worker.serve(sys.argv[1:], Model))\n",
        "utf-8",
    )
    model = exported / "baseline.int8.tflite"
    code, replies = _run([str(worker)], model, npy, iterations=1, warmup=0)
    assert (code, len(replies)) == (0, 2)
