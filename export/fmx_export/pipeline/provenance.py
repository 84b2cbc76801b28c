"""Provenance of an exported file: package versions, Git commit, checksum of the weights."""

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
"""Packages whose version may change an exported file."""


def versions() -> dict[str, str]:
    """Return the versions of the packages that may change an exported file, by package name."""
    return packages.versions(*_PACKAGES)


def commit() -> str:
    """Return the Git commit of the working folder.

    Returns:
        The hash in hex; ``unknown`` outside a repository, before its first commit, or without git.
    """
    try:
        completed = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return completed.stdout.strip()


def weights_digest(model: Any) -> str:
    """Return the SHA-256 of a Keras model's weights, in the order of ``get_weights()``, in hex."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
