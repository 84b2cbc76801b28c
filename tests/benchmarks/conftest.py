"""One small, real benchmark: four files and their Keras model on 300 test images."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fmx_benchmarks.statistics.analysis import Analysis
    from fmx_runtime.bench.result import Result
    from fmx_runtime.labeled_images import LabeledImages
    from fmx_training.data.dataset import Dataset, Splits
    from fmx_training.run_folder import Run


@pytest.fixture(scope="session")
def images(splits: Splits) -> Dataset:
    """300 real test images, 30 of each class."""
    return splits.test.balanced_sample(300, 0)


@pytest.fixture(scope="session")
def labeled(images: Dataset) -> LabeledImages:
    """The same images, as benchmarks take them."""
    from fmx_runtime.labeled_images import LabeledImages

    return LabeledImages(images.name, images.images, images.labels, images.class_names)


@pytest.fixture(scope="session")
def files(exported: Path) -> Sequence[Path]:
    """The float and int8 files of both formats."""
    return [
        exported / f"baseline.{precision}.{form}"
        for precision in ("float32", "int8")
        for form in ("tflite", "onnx")
    ]


@pytest.fixture(scope="session")
def result(
    files: Sequence[Path],
    finished: Run,
    labeled: LabeledImages,
    made_once: Callable[[str, Callable[[Path], None]], Path],
) -> Result:
    """The result of the benchmark."""
    from fmx_benchmarks.benchmark import BenchOptions, run_benchmark
    from fmx_runtime.bench.result import Result

    def measure(folder: Path) -> None:
        folder.mkdir()
        measured, _ = run_benchmark(
            files,
            labeled,
            folder,
            BenchOptions(repeats=4, iterations=50),
            keras_model=finished.model_path,
            progress=lambda _: None,
        )
        (folder / "measured.json").write_text(measured.to_json(), "utf-8")

    return Result.from_json((made_once("bench", measure) / "measured.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def analysis(result: Result) -> Analysis:
    """The statistics of the benchmark."""
    from fmx_benchmarks.statistics.analysis import Analysis

    return Analysis(result, result.runs[0])


@dataclass(frozen=True)
class Server:
    """A real sshd on a free port of this machine, for this user alone.

    Attributes:
        port: where it listens.
        folder: its files; ``tmp`` is the device's folder for temporary files.
        pid: of the server.
    """

    port: int
    folder: Path
    pid: int

    @property
    def url(self) -> str:
        """The URL that ``fmx bench --device`` takes."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def ssh(self, key: str = "client") -> str:
        """Return the ssh command that connects with a key, for ``$FMX_SSH``."""
        return (
            f"ssh -F none -i {self.folder / key} -o IdentitiesOnly=yes -o BatchMode=yes "
            f"-o UserKnownHostsFile={self.folder / 'known'} -o StrictHostKeyChecking=yes"
        )

    def left_behind(self, folder: Path | None = None) -> list[str]:
        """Return what is in the device's temporary folder, after up to a minute to clean up."""
        for _ in range(600):
            left = [path.name for path in (folder or self.folder / "tmp").iterdir()]
            if not left:
                break
            time.sleep(0.1)
        return left

    def allow(self, key: str, command: str) -> None:
        """Create a key whose sessions run ``command``."""
        _make_key(self.folder / key)
        public = (self.folder / f"{key}.pub").read_text("utf-8")
        with (self.folder / "authorized").open("a", encoding="utf-8") as file:
            file.write(f'command="{command}" {public}')


def _make_key(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True
    )


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server; it is stopped after the tests."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("no sshd: apt-get install openssh-server openssh-client")
    folder = tmp_path_factory.mktemp("sshd")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("host", "client", "stranger"):
        _make_key(folder / name)
    shutil.copy(folder / "client.pub", folder / "authorized")
    (folder / "authorized").chmod(0o600)
    (folder / "known").write_text(
        f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text('utf-8')}", "utf-8"
    )
    (folder / "tmp").mkdir()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        f"MaxStartups 100\nSetEnv TMPDIR={folder / 'tmp'}\n",
        "utf-8",
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # noqa: PTH103 (where sshd wants to live)
    server = subprocess.Popen(
        [program, "-D", "-e", "-f", folder / "config"], stderr=(folder / "log").open("w")
    )
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield Server(port, folder, server.pid)
    server.terminate()
    server.wait(10)
