"""Measuring on a device, over a real sshd on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from fmx_benchmarks.measure.device import measure_on_device
from fmx_benchmarks.measure.ssh import Device, DeviceError
from fmx_runtime.labeled_images import save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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
    return measure_on_device(device, files, npz, repeats=3, iterations=20, progress=progress)


def test_a_device_measures(
    sshd: Server,
    files: Sequence[Path],
    npz: Path,
    result: Result,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A device installs the runtime, predicts as this machine does, and is cleaned up."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh())
    lines: list[str] = []
    (run,) = _measure(sshd, files, npz, lines.append).runs
    assert run.device == f"127.0.0.1:{sshd.port}"
    assert not run.failures
    local = {variant.sha256: variant for variant in result.runs[0].variants}
    for variant in run.variants:
        assert variant.predictions == local[variant.sha256].predictions
        assert [len(one.latencies_us) for one in variant.repeats] == [20] * 3
    assert "fmx-toolkit" not in run.machine.packages
    assert any("repeat 2 of 3" in line for line in lines)
    assert not sshd.left_behind()


@pytest.mark.slow
def test_a_lost_connection(
    sshd: Server, files: Sequence[Path], npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is lost in every attempt is an error, and the device is cleaned up."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh())

    def cut(line: str) -> None:
        if "repeat 1" in line:
            found = subprocess.run(
                ["pgrep", "-P", str(sshd.pid)], capture_output=True, text=True, check=True
            )
            for pid in found.stdout.split():  # the server's side of each connection
                os.kill(int(pid), signal.SIGKILL)

    with pytest.raises(DeviceError, match=r"127\.0\.0\.1:\d+: the connection was lost") as caught:
        _measure(sshd, files[:1], npz, cut)
    assert "\n" not in str(caught.value)
    assert not sshd.left_behind()
    running = subprocess.run(
        ["pgrep", "-f", f"{sshd.folder}/tmp"],  # noqa: S108
        capture_output=True,
        text=True,
        check=False,
    )
    assert not running.stdout


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, also where the tests run in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_cleans_up(
    sshd: Server, files: Sequence[Path], npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it installs ends the work here and there, and leaves nothing behind."""
    monkeypatch.setenv("FMX_SSH", sshd.ssh())

    def interrupt(line: str) -> None:
        if "installing" in line:
            threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        _measure(sshd, files[:1], npz, interrupt)
    assert not sshd.left_behind()


@pytest.fixture
def modify_device(
    sshd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], None]:
    """Modify the device: ``modify_device(name, line)`` runs a line of shell before each command."""

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
    """Link the programs that every system has; Python is not among them."""
    folder.mkdir()
    for name in ("sh", "mktemp", "rm", "cat", "kill", "tar", "ls", "setsid"):
        found = subprocess.run(["which", name], capture_output=True, text=True, check=False)
        if found.stdout:
            (folder / name).symlink_to(found.stdout.strip())


def test_no_python(
    sshd: Server,
    files: Sequence[Path],
    npz: Path,
    tmp_path: Path,
    modify_device: Callable[[str, str], None],
) -> None:
    """A device without Python is an error that says what to install."""
    _few_programs(tmp_path / "bin")
    modify_device("bare", f"PATH={tmp_path / 'bin'}; export PATH")
    with pytest.raises(DeviceError, match="it has no python3: 'sudo apt install python3"):
        _measure(sshd, files[:1], npz, lambda _: None)
    assert not sshd.left_behind()


@pytest.mark.parametrize(
    ("program", "text", "message"),
    [
        ("uname", "echo riscv64", r"there is no interpreter for its processor, riscv64"),
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
def test_devices_that_lack_something(  # noqa: PLR0917
    sshd: Server,
    files: Sequence[Path],
    npz: Path,
    tmp_path: Path,
    modify_device: Callable[[str, str], None],
    program: str,
    text: str,
    message: str,
) -> None:
    """Another processor, an old Python, no venv and too little room are one line each."""
    _program(tmp_path / "odd", program, text)
    modify_device(f"key{abs(hash(text))}", f"PATH={tmp_path / 'odd'}:$PATH; export PATH")
    with pytest.raises(DeviceError, match=message) as caught:
        _measure(sshd, files[:1], npz, lambda _: None)
    assert "\n" not in str(caught.value)
    assert not sshd.left_behind()


def test_a_disk_that_fills_up(
    sshd: Server,
    files: Sequence[Path],
    npz: Path,
    tmp_path: Path,
    modify_device: Callable[[str, str], None],
) -> None:
    """A disk that is full while files are copied is an error, and the device is cleaned up."""
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
        modify_device(
            "full", f"PATH={tmp_path / 'odd'}:$PATH; export PATH; TMPDIR={small}; export TMPDIR"
        )
        with pytest.raises(DeviceError, match="its disk is full; make room there"):
            _measure(sshd, files[:1], npz, lambda _: None)
        assert not sshd.left_behind(small)
    finally:
        subprocess.run(["umount", small], check=True)
