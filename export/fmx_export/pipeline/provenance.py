"""Where an exported file came from."""

from __future__ import annotations

import hashlib
import subprocess
from typing import Any

import numpy as np

from fmx_runtime.support import packages

__all__ = ["commit", "versions", "weights_digest"]

_PACKAGES = (
    "fmx-toolkit",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "tensorflow",
    "tensorflow-cpu",
    "tf2onnx",
)


def versions() -> dict[str, str]:
    """Versions of the packages that shape an exported file."""
    return packages.versions(*_PACKAGES)


def commit() -> str:
    """Git commit of the working folder, ``unknown`` outside a repository or without git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def weights_digest(model: Any) -> str:
    """SHA-256 over a Keras model's weights, in their order, in hex."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
