"""Measure on another computer: the system's OpenSSH, the runtime's wheel, and nothing left behind.

On the device everything lies in one private folder. A shell there owns it, whose standard input is
the connection: when that ends, however it does, the shell ends what runs and removes the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import shlex
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fmx_benchmarks.measure import runtime_wheel
from fmx_runtime.bench.result import Result
from fmx_runtime.errors import DataError, FmxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Device", "DeviceError", "measure"]

_URL = re.compile(
    r"ssh://(?:(?P<user>[\w.][\w.-]*)@)?(?P<host>[\w.\[:\]][\w.:\[\]-]*?)(?::(?P<port>\d+))?/?"
)
_SPARE_BYTES = 400_000_000
"""What NumPy, Pillow, an interpreter and their wheels take while they are installed."""

_OPTIONS = (
    *("-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=5"),
    *("-o", "ServerAliveCountMax=3"),
    *("-o", "ControlMaster=auto"),
)
# ends what was started in its session, and removes the folder
_HOLDER = """
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
_PROBE = """
command -v python3 >/dev/null || { echo no-python; exit 0; }
python3 - "$1" <<'END'
import os, platform, shutil, sys
print("python", *sys.version_info[:2])
try:
    import ensurepip, venv
    print("venv")
except ImportError:
    pass
machine = platform.machine()
print("machine", os.popen("uname -m").read().strip() or machine, 64 if sys.maxsize > 2**32 else 32)
print("free", shutil.disk_usage(sys.argv[1]).free)
END
"""
_WHEELS = {"x86_64", "aarch64", "armv7l", "armv8l"}
_PYTHONS = ((3, 10), (3, 13))
_LOST = 255
"""What ssh itself exits with."""


class DeviceError(FmxError):
    """A device cannot be reached, or cannot measure; one line that names it."""


@dataclass(frozen=True)
class Device:
    """Where to measure."""

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read ``ssh://user@host:port``; user and port may be left out.

        Raises:
            DataError: it is something else.
        """
        found = _URL.fullmatch(text)
        if not found:
            raise DataError(f"'{text}' is no device: write ssh://user@host or ssh://user@host:port")
        port = int(found["port"]) if found["port"] else None
        return cls(found["host"], found["user"], port)

    @property
    def place(self) -> str:
        """What reports call it: host and port, without the user."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """As `parse` reads it."""
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.place}"


def measure(
    device: Device,
    files: Sequence[Path],
    images: Path,
    *,
    rounds: int,
    calls: int,
    progress: Callable[[str], None],
) -> Result:
    """Install the runtime on a device, have it measure, bring the result back, and clean up.

    Args:
        device: where.
        files: model files.
        images: an ``.npz`` file, see `fmx_runtime.labeled_images`.
        rounds: see `fmx_runtime.bench.result.Settings`.
        calls: likewise.
        progress: called with a line for each step.

    Returns:
        What the device wrote, its run's ``place`` being the device's.

    Raises:
        DeviceError: it cannot be reached, lacks something, or fails.
    """
    with tempfile.TemporaryDirectory(prefix="fmx-") as name, _connected(device, Path(name)) as link:
        progress(f"{device}: looking around")
        link.probe()
        progress(f"{device}: copying")
        link.copy([runtime_wheel.build(Path(name)), images, *files])
        progress(f"{device}: installing fmx-runtime")
        link.install(with_onnx=any(path.suffix == ".onnx" for path in files))
        command = [
            *("venv/bin/fmx-run", "bench", *(f"./{path.name}" for path in files)),
            *("--images", images.name, "--repeats", str(rounds), "--iterations", str(calls)),
        ]
        link.work(command, progress)
        text = link.ask("cat result.json", "the result cannot be read")
    try:
        result = Result.from_json(text)
    except DataError as error:
        raise DeviceError(f"{device}: {error}") from error
    run = dataclasses.replace(result.runs[0], place=device.place)
    return dataclasses.replace(result, runs=(run,))


@dataclass(frozen=True)
class _Link:
    """An open connection, and the folder on the device that it owns."""

    device: Device
    ssh: tuple[str, ...]
    folder: str

    def probe(self) -> None:
        """Make sure that the device can do what is wanted of it.

        Raises:
            DeviceError: it cannot.
        """
        said = self.ask(f"sh -s {shlex.quote(self.folder)}", "cannot look around", _PROBE)
        facts = {words[0]: words[1:] for words in map(str.split, said.splitlines()) if words}
        if "python" not in facts:
            self.fail("it has no python3: 'sudo apt install python3 python3-venv' there")
        version = (int(facts["python"][0]), int(facts["python"][1]))
        if not _PYTHONS[0] <= version <= _PYTHONS[1]:
            self.fail(f"it has Python {version[0]}.{version[1]}, fmx-runtime runs on 3.10 to 3.13")
        if "venv" not in facts:
            self.fail("its Python lacks the module venv: 'sudo apt install python3-venv' there")
        machine, bits = facts["machine"]
        if machine not in _WHEELS:
            self.fail(f"no interpreter is made for its processor, {machine} ({bits} bit)")
        free = int(facts["free"][0])
        if free < _SPARE_BYTES:
            self.fail(
                f"its disk is full: {free / 1e6:,.0f} MB are free in '{self.folder}', "
                f"{_SPARE_BYTES / 1e6:,.0f} are needed; make room, or set TMPDIR there"
            )

    def copy(self, files: Sequence[Path]) -> None:
        """Put files into the folder.

        Raises:
            DeviceError: they cannot be written.
        """
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in files:
                archive.add(path, arcname=path.name)
        self._run("tar -xf -", "cannot copy", packed.getvalue())

    def install(self, *, with_onnx: bool) -> None:
        """Make an environment with the runtime in it.

        Raises:
            DeviceError: pip fails.
        """
        self.ask("python3 -m venv venv", "cannot make an environment")
        pip = "venv/bin/pip install -q --disable-pip-version-check"
        wheel = "$(ls fmx_runtime-*.whl)"
        if with_onnx:
            # where there is no onnxruntime, TFLite files are measured all the same
            both = f'{pip} "./{wheel}[onnx]" 2>/dev/null || {pip} "./{wheel}"'
            self.ask(both, "cannot install fmx-runtime")
        else:
            self.ask(f'{pip} "./{wheel}"', "cannot install fmx-runtime")

    def work(self, command: Sequence[str], progress: Callable[[str], None]) -> None:
        """Run the benchmark, its lines passed on.

        Raises:
            DeviceError: it ends without a result.
        """
        script = f"{' '.join(map(shlex.quote, command))} 2>&1"
        last = "it said nothing"
        with subprocess.Popen(
            [*self.ssh, self._within(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None  # noqa: S101 (for mypy: it is a pipe)
            for line in process.stdout:
                last = line.strip().removeprefix("fmx-run: ") or last
                progress(f"{self.device}: {last}")
        if process.returncode == _LOST:
            self.fail("the connection was lost while it measured; its folder is removed there")
        if process.returncode not in {0, 1}:  # with 1 some models failed, which is in the result
            self.fail(f"cannot measure: {last}")

    def ask(self, script: str, problem: str, given: str = "") -> str:
        """What a script prints that runs in the folder.

        Raises:
            DeviceError: it fails, or the connection does.
        """
        return self._run(script, problem, given.encode()).decode("utf-8", "replace")

    def _run(self, script: str, problem: str, given: bytes) -> bytes:
        done = subprocess.run(
            [*self.ssh, self._within(script)], input=given, capture_output=True, check=False
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace")
            if "No space left on device" in said or "Disk quota exceeded" in said:
                self.fail("its disk is full; make room there, or set TMPDIR to where there is some")
            if done.returncode == _LOST:
                self.fail(f"the connection was lost: {_last(said)}")
            self.fail(f"{problem}: {_last(said)}")
        return done.stdout

    def _within(self, script: str) -> str:
        # a session of its own, so that the holder can end all that is started; and what libraries
        # leave in the temporary folder is removed with ours
        noted = shlex.quote(f'echo $$ > "$$.pid"; {script}')
        folder = shlex.quote(self.folder)
        return f"cd {folder} && export TMPDIR=$PWD && setsid sh -c {noted}; exit $?"

    def fail(self, reason: str) -> NoReturn:
        """Raise the error that names the device."""
        raise DeviceError(f"{self.device}: {reason}")


@contextlib.contextmanager
def _connected(device: Device, here: Path) -> Iterator[_Link]:
    """The connection, authenticated once; others go through it while it lasts."""
    ssh = _ssh(device, here / "ssh")
    with subprocess.Popen(
        [*ssh, f"sh -c {shlex.quote(_HOLDER)}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as holder:
        assert holder.stdout is not None  # noqa: S101 (for mypy: they are pipes)
        assert holder.stderr is not None  # noqa: S101
        try:
            folder = holder.stdout.readline().strip()
            if not folder.startswith("/"):
                said = folder or _last(holder.stderr.read())
                raise DeviceError(f"{device}: {_explained(said)}")
            yield _Link(device, ssh, folder)
        finally:
            if holder.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    holder.stdin.close()  # the holder cleans up now
            with contextlib.suppress(subprocess.TimeoutExpired):
                holder.wait(10)
            holder.kill()


def _ssh(device: Device, socket: Path) -> tuple[str, ...]:
    command = shlex.split(os.environ.get("FMX_SSH") or "ssh")
    port = () if device.port is None else ("-p", str(device.port))
    user = () if device.user is None else ("-l", device.user)
    return (*command, *_OPTIONS, "-o", f"ControlPath={socket}", *port, *user, device.host)


def _explained(said: str) -> str:
    """What ssh says, and what to do about it."""
    remedies = {
        "Permission denied": "install your key there with ssh-copy-id",
        "Host key verification failed": "connect once with ssh, and check its key",
        "Connection refused": "is its ssh server running, and the port right?",
        "Could not resolve": "is the name right?",
        "No space left": "make room there",
    }
    remedy = next((words for key, words in remedies.items() if key in said), "try ssh by hand")
    return f"cannot connect ({said.strip()}): {remedy}"


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason is given"
