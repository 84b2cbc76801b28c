"""The notebook, executed from the first cell to the last in a real kernel."""

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
    """The notebook executed with one epoch of training, and its working folder."""
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


def _stdout(notebook: NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.text for output in outputs if output.output_type == "stream")


@pytest.mark.slow
def test_results(executed: tuple[NotebookNode, Path]) -> None:
    """Each cell runs, and training, export and benchmark write their results."""
    notebook, folder = executed
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    for name in ("run/model.keras", "export/baseline.int8.tflite", "report/report.html"):
        assert (folder / "work" / name).is_file()


@pytest.mark.slow
def test_figures(executed: tuple[NotebookNode, Path]) -> None:
    """The notebook prints how often pullovers and shirts are confused, and the speedup of int8."""
    text = _stdout(executed[0])
    assert re.search(r"Pullover predicted as Shirt: \d+ of 1,000", text)
    assert re.search(r"TFLite int8 is \d\.\d\d times \(.*\) as fast as TFLite float32", text)


@pytest.mark.slow
def test_images(executed: tuple[NotebookNode, Path]) -> None:
    """It shows the contact sheet, the curves, the confusion matrix, mistakes and the benchmark."""
    kinds = [
        kind
        for cell in executed[0].cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    ]
    assert kinds.count("image/png") >= 5
    assert kinds.count("image/svg+xml") == 1


def test_stored_outputs() -> None:
    """The notebook in the repository holds the outputs of a complete run without errors."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "error" not in kinds
    assert "epoch 15/15" in _stdout(notebook)
