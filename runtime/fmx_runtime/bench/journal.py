"""The journal of a benchmark in progress: what was measured survives an interruption."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from fmx_runtime.errors import DataError, OutputError
from fmx_runtime.support.atomic import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import TextIO

__all__ = ["Journal"]


class Journal:
    """A file of JSON lines: the conditions first, then one line for each finished step.

    A journal is a context manager. Leaving the block without an exception removes the file,
    because the benchmark is finished; leaving it with one keeps the file for ``--resume``::

        with Journal(path, conditions, resume=False) as journal:
            value = journal.once("machine", describe)
    """

    def __init__(self, path: Path, conditions: dict[str, Any], *, resume: bool) -> None:
        """Start a journal or continue one.

        Args:
            path: the file. An existing file is overwritten unless ``resume`` is true.
            conditions: what must be equal for steps to belong to the same benchmark.
            resume: whether the steps in the file count as done.

        Raises:
            DataError: There is nothing to resume, or the conditions differ.
            OutputError: The file cannot be written.
        """
        self._path = path
        lines = _read_lines(path) if resume else []
        if resume and not lines:
            raise DataError(f"nothing to resume: '{path}' does not exist; run without --resume")
        conditions = json.loads(_dump(conditions))  # tuples become lists, as in the file
        if lines and lines[0] != conditions:
            differing = [key for key in conditions if lines[0].get(key) != conditions[key]]
            raise DataError(
                f"'{path}' was measured with other {', '.join(differing) or 'conditions'}; "
                "start again without --resume"
            )
        self._done: dict[str, Any] = {line["step"]: line["value"] for line in lines[1:]}
        self._file = self._open([_dump(line) for line in lines or [conditions]])

    def __enter__(self) -> Journal:  # noqa: PYI034 (typing has Self from Python 3.11 on)
        """Return the journal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file, and remove it if the block ended without an exception."""
        with contextlib.suppress(OSError):  # of a full disk, which `once` has reported
            self._file.close()
        if kind is None:
            self._path.unlink(missing_ok=True)

    def once(self, step: str, work: Callable[[], Any]) -> Any:
        """Return the recorded value of a step, or do the step now and record its value.

        Args:
            step: the step's name.
            work: called without arguments if the step has not been done; returns what JSON can
                hold.

        Returns:
            The value as JSON gives it back: tuples are lists.

        Raises:
            OutputError: The file cannot be written. What ``work`` raises is passed on, and nothing
                is recorded.
        """
        if step not in self._done:
            line = _dump({"step": step, "value": work()})
            self._append(line)
            self._done[step] = json.loads(line)["value"]
        return self._done[step]

    def _append(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise _cannot_write(self._path, error) from error

    def _open(self, lines: list[str]) -> TextIO:
        """Write the complete lines anew, without one that was cut off, and open for appending."""
        try:
            write(self._path, "".join(line + "\n" for line in lines))
            return self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(self._path, error) from error


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines up to the first one that is not JSON."""
    lines: list[dict[str, Any]] = []
    with contextlib.suppress(OSError, ValueError):  # the last line may be cut off
        for line in path.read_text("utf-8").splitlines():
            lines.append(json.loads(line))  # noqa: PERF401 (lines before a bad one are kept)
    return lines


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write to '{path}': {error.strerror or error}; make room there")
