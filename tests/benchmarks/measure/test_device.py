"""Devices, over a real sshd on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from fmx_benchmarks.measure.device import Device, DeviceError, measure
from fmx_runtime.errors import DataError
from fmx_runtime.labeled_images import save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fmx_runtime.bench.result import Result
    from fmx_runtime.labeled_images import LabeledImages

    Server = Any  # of conftest.py


@pytest.fixture(scope="module")
def npz(labeled: LabeledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images as a file."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    save(labeled, path)
    return path


def _measure(
    server: Server, files: Sequence[Path], npz: Path, progress: Callable[[str], None]
) -> Result:
    device = Device.parse(server.url)
    return measure(device, files, npz, rounds=3, calls=20, progress=progress)


def _left(server: Server) -> list[str]:
    """What devices have left behind, after a moment to clean up."""
    for _ in range(100):
        left = [path.name for path in (server.folder / "tmp").iterdir()]
        if not left:
            break
        time.sleep(0.1)
    return left


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("ssh://pi@raspberrypi", Device("raspberrypi", "pi")),
        ("ssh://raspberrypi.local:2222", Device("raspberrypi.local", None, 2222)),
        ("ssh://a.b@10.0.0.7/", Device("10.0.0.7", "a.b")),
    ],
)
def test_devices_are_named_by_url(text: str, device: Device) -> None:
    """User, host and port are read, and written again."""
    assert Device.parse(text) == device
    assert Device.parse(str(device)) == device


@pytest.mark.parametrize(
    "text",
    ["pi@raspberrypi", "ssh://", "ssh://-oProxyCommand=x", "ssh://pi@", "http://a", "ssh://a b"],
)
def test_what_is_no_device(text: str) -> None:
    """Anything else, options of ssh among it, is refused with the form."""
    with pytest.raises(DataError, match="write ssh://user@host"):
        Device.parse(text)


def test_a_device_measures(
    sshd: Server,
    files: Sequence[Path],
    npz: Path,
    result: Result,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A device installs the runtime, answers as this machine does, and has nothing left after."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh())
    told: list[str] = []
    (run,) = _measure(sshd, files, npz, told.append).runs
    assert run.place == f"127.0.0.1:{sshd.port}"
    assert not run.failures
    here = {variant.sha256: variant for variant in result.runs[0].variants}
    for variant in run.variants:
        assert variant.answers == here[variant.sha256].answers
        assert [len(one.latencies_us) for one in variant.rounds] == [20] * 3
    assert "fmx-toolkit" not in run.machine.packages
    assert any("round 2 of 3" in line for line in told)
    assert not _left(sshd)


def test_a_lost_connection(
    sshd: Server, files: Sequence[Path], npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that dies while it measures is told, and the device is cleaned up."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh())

    def cut(line: str) -> None:
        if "round 1" in line:
            found = subprocess.run(
                ["pgrep", "-P", str(sshd.pid)], capture_output=True, text=True, check=True
            )
            for pid in found.stdout.split():  # the server's side of each connection
                os.kill(int(pid), signal.SIGKILL)

    with pytest.raises(DeviceError, match=r"127\.0\.0\.1:\d+: the connection was lost") as caught:
        _measure(sshd, files[:1], npz, cut)
    assert "\n" not in str(caught.value)
    assert not _left(sshd)
    running = subprocess.run(
        ["pgrep", "-f", f"{sshd.folder}/tmp"],  # noqa: S108
        capture_output=True,
        text=True,
        check=False,
    )
    assert not running.stdout


def test_ctrl_c_cleans_up(
    sshd: Server, files: Sequence[Path], npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it installs ends here and there, and leaves nothing."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh())

    def interrupt(line: str) -> None:
        if "installing" in line:
            threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        _measure(sshd, files[:1], npz, interrupt)
    assert not _left(sshd)


@pytest.fixture
def odd(
    sshd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], None]:
    """Makes the device odd: another PATH, or a line of shell before each command."""

    def make(name: str, before: str) -> None:
        script = tmp_path / f"{name}.sh"
        script.write_text(f'{before}\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n', "utf-8")
        sshd.allow(name, f"sh {script}")
        monkeypatch.setenv("FMX_SSH", sshd.ssh(name))

    return make


def _program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)


def _few_programs(folder: Path) -> None:
    """What every system has, and no Python."""
    folder.mkdir()
    for name in ("sh", "mktemp", "rm", "cat", "kill", "tar", "ls", "setsid"):
        found = subprocess.run(["which", name], capture_output=True, text=True, check=False)
        if found.stdout:
            (folder / name).symlink_to(found.stdout.strip())


def test_no_python(
    sshd: Server, files: Sequence[Path], npz: Path, tmp_path: Path, odd: Callable[[str, str], None]
) -> None:
    """A device without Python is told what to install."""
    _few_programs(tmp_path / "bin")
    odd("bare", f"PATH={tmp_path / 'bin'}; export PATH")
    with pytest.raises(DeviceError, match="it has no python3: 'sudo apt install python3"):
        _measure(sshd, files[:1], npz, lambda _: None)
    assert not _left(sshd)


@pytest.mark.parametrize(
    ("program", "text", "message"),
    [
        ("uname", "echo riscv64", r"no interpreter is made for its processor, riscv64"),
        ("python3", "cat >/dev/null; echo python 3 9; echo venv", "it has Python 3.9"),
        (
            "python3",
            "cat >/dev/null; echo python 3 11; echo machine aarch64 64; echo free 1",
            "lacks the module venv",
        ),
        (
            "python3",
            "cat >/dev/null; echo python 3 11; echo venv; echo machine aarch64 64; echo free 9000",
            "its disk is full: 0 MB are free",
        ),
    ],
)
def test_devices_that_cannot(  # noqa: PLR0917
    sshd: Server,
    files: Sequence[Path],
    npz: Path,
    tmp_path: Path,
    odd: Callable[[str, str], None],
    program: str,
    text: str,
    message: str,
) -> None:
    """Another architecture, an old Python, no venv and too little room are one line each."""
    _program(tmp_path / "odd", program, text)
    odd(f"key{abs(hash(text))}", f"PATH={tmp_path / 'odd'}:$PATH; export PATH")
    with pytest.raises(DeviceError, match=message) as caught:
        _measure(sshd, files[:1], npz, lambda _: None)
    assert "\n" not in str(caught.value)
    assert not _left(sshd)


def test_a_disk_that_fills_up(
    sshd: Server,
    files: Sequence[Path],
    npz: Path,
    tmp_path: Path,
    odd: Callable[[str, str], None],
) -> None:
    """A disk that is full once the files are copied is told as that, and is cleaned up."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        _program(
            tmp_path / "odd",
            "python3",
            "cat >/dev/null; echo python 3 11; echo venv; echo machine aarch64 64; "
            "echo free 900000000",
        )
        odd("full", f"PATH={tmp_path / 'odd'}:$PATH; export PATH; TMPDIR={small}; export TMPDIR")
        with pytest.raises(DeviceError, match="its disk is full; make room there"):
            _measure(sshd, files[:1], npz, lambda _: None)
        time.sleep(0.5)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)


def test_who_is_not_let_in(
    sshd: Server, files: Sequence[Path], npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the device does not know, and a port where nobody listens, have their remedies."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh("stranger"))
    with pytest.raises(DeviceError, match=r"Permission denied.*: install your key there"):
        _measure(sshd, files[:1], npz, lambda _: None)
    nobody = Device("127.0.0.1", None, 1)
    with pytest.raises(DeviceError, match=r"Connection refused.*: is its ssh server running"):
        measure(nobody, files[:1], npz, rounds=1, calls=1, progress=lambda _: None)
