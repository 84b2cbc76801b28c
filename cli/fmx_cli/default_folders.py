"""The folders, in the working folder, that commands write to and look in by default."""

from pathlib import Path

__all__ = ["DEMO", "EXPORTS", "REPORTS", "RUNS"]

RUNS = Path("runs")
EXPORTS = Path("exports")
REPORTS = Path("reports")
DEMO = Path("demo")
