"""Fashion-MNIST: found on this machine or downloaded, verified byte by byte, and split.

70,000 gray images of clothes, 28x28 pixels, light on dark, 7,000 in each of ten classes. Made by
Zalando Research (arXiv:1708.07747), MIT license. Only this package defines these numbers.
"""

from fmx_training.data.fashion_mnist.locate import Found, find
from fmx_training.data.fashion_mnist.published_files import (
    CLASS_NAMES,
    NAME,
    POLARITY,
    SHAPE,
    SUBJECT,
)
from fmx_training.data.fashion_mnist.read import Description, FileFacts, describe, load, read

__all__ = [
    "CLASS_NAMES",
    "NAME",
    "POLARITY",
    "SHAPE",
    "SUBJECT",
    "Description",
    "FileFacts",
    "Found",
    "describe",
    "find",
    "load",
    "read",
]
