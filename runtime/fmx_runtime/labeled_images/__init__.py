"""Labeled images: the one reader for training, calibration and benchmarks.

::

    DIR/CLASS/IMAGE                        one folder for each class
    DIR/train/CLASS/IMAGE                  the same in splits: train (or training),
    DIR/validation/CLASS/IMAGE             validation (or valid, val) and test (or testing),
    DIR/test/CLASS/IMAGE                   in any case
    DIR/IMAGE                              images without labels
    FILE.npz                               arrays: images uint8 (n, h, w) or (n, h, w, c), and
                                           optionally labels (integers), class_names and name

Hidden files and folders are ignored. Which splits are used depends on the purpose:

- Training takes all splits. Those that are missing are split off the training images.
- Calibration takes training images, and validation images to check the result.
- Benchmarks take test images.
"""

from fmx_runtime.labeled_images.arrays import save
from fmx_runtime.labeled_images.class_order import few_of
from fmx_runtime.labeled_images.decode_all import Watch, check_unreadable
from fmx_runtime.labeled_images.image_set import LabeledImages, UnlabeledImages
from fmx_runtime.labeled_images.layout import Split, image_files
from fmx_runtime.labeled_images.reader import read, read_splits

__all__ = [
    "LabeledImages",
    "Split",
    "UnlabeledImages",
    "Watch",
    "check_unreadable",
    "few_of",
    "image_files",
    "read",
    "read_splits",
    "save",
]
