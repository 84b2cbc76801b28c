"""Describe Fashion-MNIST, as ``fmx data`` and ``fmx demo`` do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from fmx_cli.output.terminal import bold, note, out
from fmx_runtime.errors import DataError
from fmx_training.data import contact_sheet as sheet
from fmx_training.data import fashion_mnist

if TYPE_CHECKING:
    from pathlib import Path

    from fmx_training.data.fashion_mnist import Description

__all__ = ["describe_data"]


def describe_data(data_dir: Path | None, contact_sheet: Path | None = None) -> None:
    """Print the folder, the files and the classes, and draw a contact sheet if a path is given.

    Raises:
        DataError: the data set is missing or damaged, or the sheet is not to be a PNG file.
        OutputError: the contact sheet cannot be written.
    """
    if contact_sheet is not None and contact_sheet.suffix.lower() != ".png":
        raise DataError(f"--contact-sheet '{contact_sheet}' does not end in .png")
    found = fashion_mnist.find(data_dir)
    facts = fashion_mnist.describe(found)
    out.print(f"Fashion-MNIST in {bold(facts.folder)} ({facts.how})", soft_wrap=True)
    out.print(_files_table(facts))
    out.print(_counts_table(facts))
    if contact_sheet:
        sheet.draw(fashion_mnist.read(found).train, contact_sheet)
        note(f"wrote {contact_sheet}")


def _files_table(facts: Description) -> Table:
    """Return a table with the size and the verified checksum of each file."""
    table = Table("file", "bytes", "uncompressed content, verified", box=None)
    table.columns[1].justify = "right"
    for file in facts.files:
        table.add_row(file.path.name, f"{file.size_bytes:,}", f"SHA-256 {file.sha256[:16]}…")
    return table


def _counts_table(facts: Description) -> Table:
    """Return a table with the number of images of each class."""
    table = Table("class", "training", "test", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, train_count in facts.train_counts.items():
        table.add_row(name, f"{train_count:,}", f"{facts.test_counts[name]:,}")
    train_total, test_total = sum(facts.train_counts.values()), sum(facts.test_counts.values())
    table.add_row("all", f"{train_total:,}", f"{test_total:,}", style="bold")
    return table
