"""Download published files over HTTP, or from a Debian package.

Both write to a folder of the caller, who deletes it if they fail. Both need no root, and give up
within seconds on a machine without a network.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)

from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["RemoteFile", "download", "unpack_debian_package"]

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 15.0
_APT_TIMEOUT_S = 600
_CHUNK_BYTES = 1 << 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteFile:
    """A published file: its name on the site, and its MD5 (hex)."""

    name: str
    md5: str


class _ProgressBar:
    """A download's progress bar on stderr, if that is a terminal.

    It has the methods that `pooch.HTTPDownloader` calls.
    """

    def __init__(self, name: str) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=None)
        self._bar.start()

    @property
    def total(self) -> float | None:
        """The file's size in bytes."""
        return self._bar.tasks[self._task].total

    @total.setter
    def total(self, size_bytes: float) -> None:
        self._bar.update(self._task, total=size_bytes)

    def update(self, size_bytes: int) -> None:
        """Advance by so many bytes."""
        self._bar.update(self._task, advance=size_bytes)

    def reset(self) -> None:
        """Start again at 0."""
        self._bar.reset(self._task)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


def download(site: str, files: Iterable[RemoteFile], folder: Path) -> None:
    """Download files, with a progress bar on stderr if that is a terminal.

    Args:
        site: the address to which the files' names are appended, with its last slash.
        files: the files.
        folder: where to write them; it exists.

    Raises:
        DataError: the site does not respond, or a file differs from the published one.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    for file in files:
        url = site + file.name
        _check_responds(url)
        with contextlib.closing(_ProgressBar(file.name)) as bar:
            downloader = pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=_CHUNK_BYTES,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )
            try:
                pooch.retrieve(url, f"md5:{file.md5}", file.name, folder, downloader=downloader)
            except ValueError as error:  # pooch raises it for another hash
                raise DataError(f"{file.name} arrived truncated or altered") from error
            except OSError as error:  # among them all that requests raises
                raise DataError(f"{file.name}: {_one_line(error)}") from error


def unpack_debian_package(package: str, folder: Path) -> Path:
    """Download a package of this machine's Debian or Ubuntu release, and unpack it.

    If the machine's package index does not have the package, a new index is downloaded to
    ``folder``. Nothing is installed.

    Args:
        package: name of the package.
        folder: where all files are written; it exists.

    Returns:
        The folder with the package's files, ``usr`` and so on.

    Raises:
        DataError: the machine does not run Debian or Ubuntu, or the package cannot be downloaded.
    """
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise DataError(
            f"{' and '.join(missing)} not found on PATH: not a Debian or Ubuntu machine"
        )
    try:
        _run(folder, *_apt_get(), "download", package)
    except DataError as error:
        _log.info("%s; trying again with a new package index", error)
        _download_with_fresh_index(package, folder)
    tree = folder / "unpacked"
    for archive in folder.glob("*.deb"):
        _run(folder, "dpkg-deb", "-x", str(archive), str(tree))
    return tree


def _download_with_fresh_index(package: str, folder: Path) -> None:
    lists, cache = folder / "lists", folder / "cache"
    for private in (lists / "partial", cache):
        private.mkdir(parents=True)
    apt_get = [*_apt_get(), "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"]
    try:
        _run(folder, *apt_get, "update")
        _run(folder, *apt_get, "download", package)
    except DataError as error:
        raise DataError(
            f"{error}; a new package index could not be downloaded either: run 'apt-get update' as "
            "root when the package archive can be reached"
        ) from error


def _apt_get() -> list[str]:
    """Return the command with short timeouts, running as the current user."""
    options = (
        "Acquire::Retries=0",
        f"Acquire::http::Timeout={READ_TIMEOUT_S:.0f}",
        f"Acquire::https::Timeout={READ_TIMEOUT_S:.0f}",
        "APT::Sandbox::User=root",
    )
    return ["apt-get", "--quiet", *(word for option in options for word in ("-o", option))]


def _run(folder: Path, *command: str) -> None:
    """Run a command in ``folder``.

    Raises:
        DataError: it fails; the message is its last line on stderr.
    """
    try:
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_APT_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{command[0]} did not end within {_APT_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        reason = next((line for line in said if line.startswith("E: ")), said[-1])
        raise DataError(f"{command[0]}: {reason.removeprefix('E: ')}") from error


def _check_responds(url: str) -> None:
    """Check that a site responds within seconds.

    The time limit of a connection applies to each address of a host, and large hosts have dozens.
    Here one limit applies to all of them.

    Raises:
        DataError: it does not respond, or it responds with an error.
    """
    problems: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def request_head() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 (sites are constants)
        try:
            urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_S).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()
            problems.put(f"{url.rpartition('/')[2]}: {error.code} {error.reason}")
        except (OSError, ValueError) as error:
            problems.put(_one_line(getattr(error, "reason", error)))
        else:
            problems.put(None)

    threading.Thread(target=request_head, daemon=True).start()
    try:
        problem = problems.get(timeout=CONNECT_TIMEOUT_S + 1)
    except queue.Empty:
        problem = f"no response within {CONNECT_TIMEOUT_S:.0f} s"
    if problem is not None:
        raise DataError(problem)


def _one_line(error: object) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
