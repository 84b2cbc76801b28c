"""The SSH connection to a device: open it, run scripts, retry after a lost connection, clean up.

On the device everything lies in one private folder. A shell on the device owns the folder and
reads from the connection: when the connection ends, for whatever reason, that shell kills what was
started and removes the folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from fmx_runtime.errors import DataError, FmxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Connection", "ConnectionLostError", "Device", "DeviceError", "with_retry"]

_T = TypeVar("_T")

_URL = re.compile(
    r"ssh://(?:(?P<user>[\w.][\w.-]*)@)?(?P<host>[\w.\[:\]][\w.:\[\]-]*?)(?::(?P<port>\d+))?/?"
)
_OPTIONS = (
    *("-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=5"),
    *("-o", "ServerAliveCountMax=3"),
    *("-o", "ControlMaster=auto"),
)
_CONNECTION_FAILED = 255
"""The exit code of ssh itself; other codes are those of the command on the device."""

_ATTEMPTS = 2
"""How often a device is measured before a lost connection counts as its failure."""

# makes the private folder and prints its path; kills what runs in it and removes it at the end
_FOLDER_SCRIPT = """
folder=$(mktemp -d "${TMPDIR:-/tmp}/fmx-bench.XXXXXXXX") || exit 1
clean() {
    for file in "$folder"/*.pid; do
        [ -f "$file" ] && kill -KILL -- "-$(cat "$file")" 2>/dev/null
    done
    rm -rf "$folder" || { sleep 1; rm -rf "$folder"; }
}
trap clean EXIT
trap 'exit 1' HUP INT TERM PIPE
echo "$folder"
while read -r _; do :; done
"""
_REMEDIES = {
    "Permission denied": "install your key there with ssh-copy-id",
    "Host key verification failed": "connect once with ssh, and check its key",
    "Connection refused": "is its SSH server running, and the port right?",
    "Could not resolve": "is the name right?",
    "No space left": "make room there",
}


class DeviceError(FmxError):
    """A device cannot be reached or cannot measure; the message is one line that names it."""


class ConnectionLostError(DeviceError):
    """An open connection was lost; a retry may succeed."""


@dataclass(frozen=True)
class Device:
    """The address of a device.

    Attributes:
        host: name or address.
        user: None for the default of ssh.
        port: None for the default of ssh.
    """

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read ``ssh://user@host:port``; user and port may be left out.

        Raises:
            DataError: The text has another form.
        """
        found = _URL.fullmatch(text)
        if not found:
            raise DataError(
                f"'{text}' is not a device: write ssh://user@host or ssh://user@host:port"
            )
        port = int(found["port"]) if found["port"] else None
        return cls(found["host"], found["user"], port)

    @property
    def name(self) -> str:
        """The name in reports: host and port, without the user."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """Return the URL that `parse` reads."""
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.name}"


def with_retry(
    device: Device, work: Callable[[Connection], _T], progress: Callable[[str], None]
) -> _T:
    """Connect to a device and do work there; if the connection is lost, start again once.

    The device removes its folder when the connection is lost, so the work starts from nothing.

    Args:
        device: where.
        work: called with the open connection.
        progress: called with a line for each retry.

    Returns:
        What ``work`` returns.

    Raises:
        DeviceError: The device cannot be reached, or ``work`` fails.
        ConnectionLostError: The connection was lost in every attempt.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with _connect(device) as connection:
                return work(connection)
        except ConnectionLostError as error:
            if attempt == _ATTEMPTS:
                raise
            progress(f"{error}; connecting again")
    raise AssertionError  # the loop returns or raises


@contextlib.contextmanager
def _connect(device: Device) -> Iterator[Connection]:
    """Open the connection, authenticated once; further sessions share it while it lasts."""
    with tempfile.TemporaryDirectory(prefix="fmx-") as local:
        ssh = _ssh_command(device, Path(local) / "ssh")
        with subprocess.Popen(
            [*ssh, f"sh -c {shlex.quote(_FOLDER_SCRIPT)}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as owner:
            assert owner.stdout is not None  # noqa: S101 (for mypy: they are pipes)
            assert owner.stderr is not None  # noqa: S101
            try:
                folder = owner.stdout.readline().strip()
                if not folder.startswith("/"):
                    raise DeviceError(
                        f"{device}: {_explain(folder or _last_line(owner.stderr.read()))}"
                    )
                yield Connection(device, ssh, folder, owner)
            finally:
                if owner.stdin is not None:
                    with contextlib.suppress(BrokenPipeError):
                        owner.stdin.close()  # now the owner cleans up
                with contextlib.suppress(subprocess.TimeoutExpired):
                    owner.wait(10)
                owner.kill()


@dataclass(frozen=True)
class Connection:
    """An open connection, and the private folder on the device that it owns.

    Attributes:
        device: where.
        ssh: the ssh command and its options.
        folder: the folder on the device.
        owner: the ssh process of the shell that owns the folder.
    """

    device: Device
    ssh: tuple[str, ...]
    folder: str
    owner: subprocess.Popen[str]

    def run(self, script: str, problem: str, stdin: bytes = b"") -> str:
        """Run a shell script in the folder.

        Args:
            script: the script.
            problem: what the error says if the script fails, such as ``cannot copy``.
            stdin: the script's standard input.

        Returns:
            The script's standard output.

        Raises:
            DeviceError: The script fails.
            ConnectionLostError: The connection is lost.
        """
        done = subprocess.run(
            [*self.ssh, self._in_folder(script)], input=stdin, capture_output=True, check=False
        )
        message = done.stderr.decode("utf-8", "replace")
        if done.returncode == _CONNECTION_FAILED:
            self._lost(f"the connection was lost: {_last_line(message)}")
        self._check_owner()
        if done.returncode:
            if "No space left on device" in message or "Disk quota exceeded" in message:
                self.fail("its disk is full; make room there, or set TMPDIR to where there is some")
            self.fail(f"{problem}: {_last_line(message)}")
        return done.stdout.decode("utf-8", "replace")

    def follow(self, script: str, on_line: Callable[[str], None]) -> int:
        """Run a shell script in the folder and pass on its output while it runs.

        Args:
            script: the script.
            on_line: called with each line of standard output and standard error.

        Returns:
            The script's exit code.

        Raises:
            ConnectionLostError: The connection is lost.
        """
        with subprocess.Popen(
            [*self.ssh, self._in_folder(f"{script} 2>&1")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None  # noqa: S101 (for mypy: it is a pipe)
            for line in process.stdout:
                on_line(line.strip())
        if process.returncode == _CONNECTION_FAILED:
            self._lost("the connection was lost while it measured; its folder is removed there")
        self._check_owner()
        return process.returncode

    def fail(self, reason: str) -> NoReturn:
        """Raise a `DeviceError` that names the device."""
        raise DeviceError(f"{self.device}: {reason}")

    def _check_owner(self) -> None:
        """Check that the folder's owner still runs.

        If its connection ends between two scripts, ssh opens another one for the next script, which
        then misses the folder.

        Raises:
            ConnectionLostError: The owner has ended.
        """
        if self.owner.poll() is not None:
            self._lost("the connection was lost; its folder is removed there")

    def _lost(self, reason: str) -> NoReturn:
        raise ConnectionLostError(f"{self.device}: {reason}")

    def _in_folder(self, script: str) -> str:
        # in a separate session, so that the folder's owner can kill all that is started; what
        # libraries leave in the temporary folder is removed with the folder
        recorded = shlex.quote(f'echo $$ > "$$.pid"; {script}')
        folder = shlex.quote(self.folder)
        return f"cd {folder} && export TMPDIR=$PWD && setsid sh -c {recorded}; exit $?"


def _ssh_command(device: Device, socket: Path) -> tuple[str, ...]:
    """Return the system's OpenSSH with the user's own configuration and keys.

    OpenSSH is used as a subprocess, not a Python library, because it knows the user's agent, keys,
    jump hosts and ``~/.ssh/config``.
    """
    command = shlex.split(os.environ.get("FMX_SSH") or "ssh")
    port = () if device.port is None else ("-p", str(device.port))
    user = () if device.user is None else ("-l", device.user)
    return (*command, *_OPTIONS, "-o", f"ControlPath={socket}", *port, *user, device.host)


def _explain(message: str) -> str:
    """Return why the connection failed, and what to do about it."""
    remedy = next((text for key, text in _REMEDIES.items() if key in message), "try ssh by hand")
    return f"cannot connect ({message.strip()}): {remedy}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason is given"
