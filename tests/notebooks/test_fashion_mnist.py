"""The notebook, executed from its first cell to its last by a real kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from fmx_training.data.fashion_mnist import Found

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "fashion_mnist.ipynb"


@pytest.fixture(scope="module")
def executed(found: Found, tmp_path_factory: pytest.TempPathFactory) -> tuple[NotebookNode, Path]:
    """The notebook after one epoch of training, and the folder in which it ran."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FMX_NOTEBOOK_EPOCHS", "1")
        environment.setenv("FMX_DATA_DIR", str(found.folder))
        client = NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        client.execute()
    return notebook, folder


def _printed(notebook: NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.text for output in outputs if output.output_type == "stream")


def test_it_runs_to_its_end(executed: tuple[NotebookNode, Path]) -> None:
    """Every cell runs, and training, export and benchmark leave their results."""
    notebook, folder = executed
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    for name in ("run/model.keras", "export/baseline.int8.tflite", "report/report.html"):
        assert (folder / "work" / name).is_file()


def test_it_tells_what_it_measured(executed: tuple[NotebookNode, Path]) -> None:
    """The confusion between pullover and shirt, and what int8 gained, are figures of this run."""
    text = _printed(executed[0])
    assert re.search(r"Pullover taken for Shirt: \d+ of 1,000", text)
    assert re.search(r"TFLite int8 is \d\.\d\d times \(.*\) as fast as TFLite float32", text)


def test_its_images_are_there(executed: tuple[NotebookNode, Path]) -> None:
    """Contact sheet, curves, confusion matrix, mistakes and the benchmark's plot are shown."""
    kinds = [
        kind
        for cell in executed[0].cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    ]
    assert kinds.count("image/png") >= 5
    assert kinds.count("image/svg+xml") == 1


def test_the_stored_one_was_executed_to_the_end() -> None:
    """The notebook in the repository shows a whole run, cell after cell, without an error."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "error" not in kinds
    assert "epoch 15/15" in _printed(notebook)
