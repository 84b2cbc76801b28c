from __future__ import annotations

import pytest

from fmx_runtime.support.error_summary import error_summary


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("\n  what\nwhere"), "what"),
        (AssertionError(), "AssertionError"),
        (RuntimeError(" \n"), "RuntimeError"),
    ],
)
def test_first_line(error: Exception, expected: str) -> None:
    """The summary is the first line with text, or the exception's type."""
    assert error_summary(error) == expected
