"""Worker processes, seen from outside."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from fmx_runtime.bench.process import measure, worker_environment
from fmx_runtime.errors import BackendError, ModelFileError
from fmx_runtime.support.cores import last_core

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKER = ["fmx_runtime.bench.worker"]


@pytest.fixture
def model(exported: Path) -> Path:
    """A real int8 file."""
    return exported / "baseline.int8.tflite"


def test_a_process_measures(model: Path, npy: Path) -> None:
    """It returns its interpreter, its memory, the time to first prediction and what was asked."""
    done = measure(model, npy, worker=WORKER, threads=1, core=last_core(), iterations=7, warmup=2)
    assert len(done.values["latencies_us"]) == 7
    assert done.runtime.split()[0] in {"ai-edge-litert", "tflite-runtime"}
    assert 10e6 < done.peak_bytes < 400e6
    assert done.first_prediction_s > 0.01
    throughput = measure(model, npy, worker=WORKER, threads=2, core=None, batches=[1, 16]).values
    assert len(throughput["images_per_second"]) == 2


def test_an_error_keeps_its_type(npy: Path) -> None:
    """A model that cannot be opened raises the error that the worker had."""
    with pytest.raises(ModelFileError, match="neither a TFLite nor an ONNX model"):
        measure(npy, npy, worker=WORKER, threads=1, core=None, iterations=1, warmup=0)


def test_a_process_that_fails(model: Path, tmp_path: Path) -> None:
    """An unexpected exception is one line with the exit code and the last line of stderr."""
    missing = tmp_path / "missing.npy"
    with pytest.raises(BackendError, match=r"died \(exit code 1\): .*No such file") as caught:
        measure(model, missing, worker=WORKER, threads=1, core=None, iterations=1, warmup=0)
    assert "\n" not in str(caught.value)


def test_a_process_that_is_killed(
    model: Path, npy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that a signal ends, as when memory is full, is one line that names the signal."""
    (tmp_path / "killed.py").write_text(
        f"import os\nos.kill(os.getpid(), {int(signal.SIGKILL)})\n", "utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        BackendError, match=r"died \(signal SIGKILL\): it printed nothing"
    ) as caught:
        measure(model, npy, worker=["killed"], threads=1, core=None, iterations=1, warmup=0)
    assert "\n" not in str(caught.value)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, also where the tests run in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_kills_the_process(
    model: Path, npy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C while it measures, no process is left."""
    (tmp_path / "endless.py").write_text(
        "import os, pathlib, signal, time\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(600)\n",
        "utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        measure(model, npy, worker=["endless"], threads=1, core=None, iterations=1, warmup=0)
    pid = int((tmp_path / "pid").read_text("utf-8"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_environment() -> None:
    """Thread pools have one thread, TensorFlow those that are asked for and no graphics card."""
    environment = worker_environment(3)
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "1"
    assert environment["TF_NUM_INTRAOP_THREADS"] == "3"
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"
    assert environment["PATH"] == os.environ["PATH"]
