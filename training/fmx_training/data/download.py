"""Bring published files onto this machine: over HTTP, or out of a Debian package.

Both ways fill a folder that the caller gives (and throws away when they fail), need no root, and
give up within seconds on a machine without a network.
"""

from __future__ import annotations

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
    """One published file: its name in its home, and its MD5 (hex)."""

    name: str
    md5: str


def download(home: str, files: Iterable[RemoteFile], folder: Path) -> None:
    """Download ``files``, with a progress bar on stderr if that is a terminal.

    Args:
        home: the address that the files' names are appended to, with its last slash.
        files: what to download.
        folder: where they go; it exists.

    Raises:
        DataError: the home does not answer, or sends something else than was published.
    """
    import pooch
    from tqdm import tqdm

    pooch.get_logger().setLevel(logging.WARNING)
    for file in files:
        url = home + file.name
        _ask(url)
        with tqdm(total=1, desc=file.name, unit="B", unit_scale=True, disable=None) as bar:
            downloader = pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=_CHUNK_BYTES,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )
            try:
                pooch.retrieve(url, f"md5:{file.md5}", file.name, folder, downloader=downloader)
            except ValueError as error:  # pooch's word for another hash
                raise DataError(f"{file.name} arrived truncated or altered") from error
            except OSError as error:  # among them all that requests raises
                raise DataError(f"{file.name}: {_one_line(error)}") from error


def unpack_debian_package(package: str, folder: Path) -> Path:
    """Download a package of this machine's Debian or Ubuntu release, and unpack it.

    The machine's package index is used where it has the package, otherwise a fresh one is fetched
    into ``folder``; nothing is installed and nothing needs root.

    Args:
        package: its name.
        folder: where everything happens; it exists.

    Returns:
        The folder that holds the package's tree, ``usr`` and so on.

    Raises:
        DataError: this is no such machine, or its package archive does not deliver.
    """
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise DataError(f"{' and '.join(missing)} not found on PATH: no Debian-family machine")
    try:
        _run(folder, *_apt_get(), "download", package)
    except DataError as error:
        _log.info("%s; trying again with a package index of our own", error)
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
            f"{error}; a fresh package index could not be had either: run 'apt-get update' as "
            f"root once the package archive can be reached"
        ) from error


def _apt_get() -> list[str]:
    """The command, told to give up soon, and not to become a user who may not write here."""
    options = (
        "Acquire::Retries=0",
        f"Acquire::http::Timeout={READ_TIMEOUT_S:.0f}",
        f"Acquire::https::Timeout={READ_TIMEOUT_S:.0f}",
        "APT::Sandbox::User=root",
    )
    return ["apt-get", "--quiet", *(word for option in options for word in ("-o", option))]


def _run(folder: Path, *command: str) -> None:
    """Run a command in ``folder``; what it said last is the reason if it fails."""
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


def _ask(url: str) -> None:
    """Raise unless the home answers soon.

    A connection's own time limit holds for each address of a host, and large hosts have dozens;
    here one limit holds for all of it.
    """
    answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 (homes are constants)
        try:
            urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_S).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()
            answer.put(f"{url.rpartition('/')[2]}: {error.code} {error.reason}")
        except (OSError, ValueError) as error:
            answer.put(_one_line(getattr(error, "reason", error)))
        else:
            answer.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        problem = answer.get(timeout=CONNECT_TIMEOUT_S + 1)
    except queue.Empty:
        problem = f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
    if problem is not None:
        raise DataError(problem)


def _one_line(error: object) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
