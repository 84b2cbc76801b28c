"""The published data set: properties of the images, and the four files with their checksums.

The files are published gzipped, and some distributions compress them again. So the SHA-256 is that
of the unpacked content, wherever a file was found.
"""

from __future__ import annotations

from typing import Literal

from fmx_training.data.fashion_mnist.idx import IdxFile

__all__ = ["CLASS_NAMES", "FILES", "NAME", "POLARITY", "SHAPE", "SUBJECT"]

NAME = "fashion-mnist"
SHAPE = (28, 28, 1)
"""Height, width and channels of the images."""
POLARITY: Literal["light-on-dark"] = "light-on-dark"
SUBJECT: Literal["garment"] = "garment"
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

FILES = (
    IdxFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        "25c81989df183df01b3e8a0aad5dffbe",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        "bef4ecab320f06d8554ea6380940ec79",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        "bb300cfdad3c16e7a12a480ee83cd310",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
"""Training images, training labels, test images, test labels."""
