"""Read an image file from a path that may not be a regular file.

Only regular files are read: a pipe or a device may never end, and to open one may wait for ever.
"""

from __future__ import annotations

import errno
import os
import stat

from fmx_runtime.errors import ImageError
from fmx_runtime.images.limits import MAX_FILE_BYTES
from fmx_runtime.support.error_summary import error_summary

__all__ = ["read_image_file"]


def read_image_file(path: str) -> bytes:
    """Return the content of a regular file.

    Raises:
        ImageError: there is no such file, it is not a regular file, it is larger than
            `MAX_FILE_BYTES`, or it cannot be read. The message does not begin with the path;
            `fmx_runtime.images.decode.open_image` adds it.
    """
    try:
        # O_NONBLOCK: do not wait for the writer of a pipe.
        # O_NOCTTY: do not let a terminal device become this process's terminal.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise ImageError(_open_failure(path, error)) from error
    try:
        # fstat, not stat: the path may refer to another file by now
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"is {_describe_non_file(status.st_mode)}")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(
                f"is too large ({status.st_size / 1e6:,.0f} MB, "
                f"at most {MAX_FILE_BYTES / 1e6:,.0f} MB): save a smaller image"
            )
        return _read_all(descriptor, status.st_size)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}: copy it again") from error
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, size: int) -> bytes:
    """Return the first ``size`` bytes; fewer if the file has become shorter meanwhile."""
    content = os.read(descriptor, size)
    while len(content) < size and (chunk := os.read(descriptor, size - len(content))):
        content += chunk
    return content


def _open_failure(path: str, error: OSError | ValueError) -> str:
    """Say why a file cannot be opened, and what to do."""
    if isinstance(error, ValueError):
        return f"is not a valid file name ({error_summary(error)}): check the path"
    known = {
        errno.ENOENT: "does not exist: check the path",
        errno.ELOOP: "is a symbolic link that leads back to itself: give the path of the image",
        errno.EACCES: "cannot be read (permission denied): allow it, for example with 'chmod a+r'",
    }
    if error.errno == errno.ENXIO:  # a socket, or a device without a driver
        return f"is {_describe_non_file(os.stat(path).st_mode)}"  # noqa: PTH116
    return known.get(error.errno or 0, f"cannot be opened: {error.strerror}: check the path")


def _describe_non_file(mode: int) -> str:
    """Say what the path is instead of a regular file, and what to do."""
    if stat.S_ISDIR(mode):
        return "a folder, not an image: give the path of an image in it"
    if stat.S_ISFIFO(mode):
        return "a pipe, not an image: read it with 'fmx-run - < PIPE'"
    what = "a socket" if stat.S_ISSOCK(mode) else "a device"
    return f"{what}, not an image: give the path of an image file"
