"""``fmx data``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from fmx_cli.terminal import bold, note, out
from fmx_runtime.errors import DataError
from fmx_training.data import contact_sheet, fashion_mnist

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["show"]


def show(data_dir: Path | None, sheet: Path | None) -> None:
    """Print the data set's place, files and classes; draw a contact sheet if a path is given."""
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise DataError(f"the contact sheet is a PNG file: '{sheet}' does not end in .png")
    found = fashion_mnist.find(data_dir)
    facts = fashion_mnist.describe(found)
    out.print(f"Fashion-MNIST in {bold(facts.folder)} ({facts.how})", soft_wrap=True)
    files = Table("file", "bytes", "content, verified", box=None)
    files.columns[1].justify = "right"
    for file in facts.files:
        files.add_row(file.path.name, f"{file.size_bytes:,}", f"SHA-256 {file.sha256[:16]}…")
    out.print(files)
    counts = Table("class", "training", "test", box=None)
    for column in counts.columns[1:]:
        column.justify = "right"
    for name, training in facts.train_counts.items():
        counts.add_row(name, f"{training:,}", f"{facts.test_counts[name]:,}")
    counts.add_row(
        "all",
        f"{sum(facts.train_counts.values()):,}",
        f"{sum(facts.test_counts.values()):,}",
        style="bold",
    )
    out.print(counts)
    if sheet:
        contact_sheet.draw(fashion_mnist.read(found).train, sheet)
        note(f"drew {sheet}")
