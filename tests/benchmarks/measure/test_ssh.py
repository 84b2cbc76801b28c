"""SSH connections, to a real sshd on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fmx_benchmarks.measure.ssh import (
    Connection,
    ConnectionLostError,
    Device,
    DeviceError,
    with_retry,
)
from fmx_runtime.errors import DataError

if TYPE_CHECKING:
    Server = Any  # of conftest.py


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("ssh://pi@raspberrypi", Device("raspberrypi", "pi")),
        ("ssh://raspberrypi.local:2222", Device("raspberrypi.local", None, 2222)),
        ("ssh://a.b@10.0.0.7/", Device("10.0.0.7", "a.b")),
    ],
)
def test_devices_are_named_by_url(text: str, device: Device) -> None:
    """User, host and port are read and written."""
    assert Device.parse(text) == device
    assert Device.parse(str(device)) == device


@pytest.mark.parametrize(
    "text",
    ["pi@raspberrypi", "ssh://", "ssh://-oProxyCommand=x", "ssh://pi@", "http://a", "ssh://a b"],
)
def test_texts_that_are_not_devices(text: str) -> None:
    """Anything else, such as options of ssh, is refused with the expected form."""
    with pytest.raises(DataError, match="write ssh://user@host"):
        Device.parse(text)


@pytest.fixture
def device(sshd: Server, monkeypatch: pytest.MonkeyPatch) -> Device:
    """This machine as a device."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh())
    return Device.parse(sshd.url)


def _cut(server: Server) -> None:
    """Kill the server's side of each connection."""
    found = subprocess.run(
        ["pgrep", "-P", str(server.pid)], capture_output=True, text=True, check=True
    )
    for pid in found.stdout.split():
        os.kill(int(pid), signal.SIGKILL)


def test_scripts_run_in_a_private_folder(device: Device, sshd: Server) -> None:
    """A script runs in the connection's folder, with its input; the folder is removed after."""

    def work(connection: Connection) -> str:
        connection.run("cat > file", "cannot write", b"content")
        lines: list[str] = []
        assert connection.follow("cat file; echo error >&2; exit 3", lines.append) == 3
        assert lines[0].startswith("content")
        return connection.run("pwd; echo $TMPDIR", "cannot look")

    folder, temporary = with_retry(device, work, print).split()
    assert folder == temporary
    assert Path(folder).parent == sshd.folder / "tmp"
    assert not sshd.left_behind()


def test_a_script_that_fails(device: Device) -> None:
    """The error names the device, what failed, and the last line of stderr."""
    with pytest.raises(DeviceError, match=r"ssh://.*: cannot do it: second$"):
        with_retry(
            device,
            lambda one: one.run("echo first >&2; echo second >&2; false", "cannot do it"),
            print,
        )


def test_the_retry_after_a_lost_connection(device: Device, sshd: Server) -> None:
    """Work whose connection is lost is done again from the start, on a new connection."""
    folders: list[str] = []
    lines: list[str] = []

    def work(connection: Connection) -> str:
        folders.append(connection.folder)
        if len(folders) == 1:
            _cut(sshd)
        return connection.run("echo done", "cannot print")

    assert with_retry(device, work, lines.append) == "done\n"
    assert len(set(folders)) == 2
    (line,) = lines
    assert "the connection was lost" in line
    assert line.endswith("; connecting again")
    assert not sshd.left_behind()


def test_a_connection_that_is_lost_again(device: Device, sshd: Server) -> None:
    """After the second loss the device fails, with one line."""
    attempts: list[str] = []

    def work(connection: Connection) -> str:
        attempts.append(connection.folder)
        _cut(sshd)
        return connection.run("echo done", "cannot print")

    with pytest.raises(ConnectionLostError, match="the connection was lost") as caught:
        with_retry(device, work, lambda _: None)
    assert len(attempts) == 2
    assert "\n" not in str(caught.value)
    assert not sshd.left_behind()


def test_connections_that_are_refused(sshd: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key and a port where nobody listens have their remedies, and no retry."""
    lines: list[str] = []
    monkeypatch.setenv("FMX_SSH", sshd.ssh("stranger"))
    with pytest.raises(DeviceError, match=r"Permission denied.*: install your key there"):
        with_retry(Device.parse(sshd.url), lambda _: None, lines.append)
    with pytest.raises(DeviceError, match=r"Connection refused.*: is its SSH server running"):
        with_retry(Device("127.0.0.1", None, 1), lambda _: None, lines.append)
    assert not lines
