"""The scales of belief and evidence, which are integers so that all machines agree."""

from __future__ import annotations

__all__ = ["EVIDENCE_PER_BIT", "MAX_BELIEF"]

MAX_BELIEF = 64
"""The belief that a pixel is garment goes from 0 (background) to this (garment)."""

EVIDENCE_PER_BIT = 16
"""Evidence is the log-odds of garment against background: this much doubles the odds."""
