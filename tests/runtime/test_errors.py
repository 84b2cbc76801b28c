from __future__ import annotations

import re

import pytest

from fmx_runtime import errors

DRAWN = re.findall(r"(\w+Error) +(?:exit code )?(\d)(?: +\((\w+)\))?", errors.__doc__ or "")


def test_the_tree_is_drawn_as_it_is() -> None:
    """Each exception stands in the docstring, with its exit code and its built-in parent."""
    assert sorted(name for name, _, _ in DRAWN) == errors.__all__
    for name, code, built_in in DRAWN:
        kind = getattr(errors, name)
        assert kind.exit_code == int(code)
        assert [base.__name__ for base in kind.__bases__] == (
            ["FmxError", built_in] if built_in else ["Exception"]
        )


@pytest.mark.parametrize("name", errors.__all__)
def test_messages_stay_as_they_are(name: str) -> None:
    """An error's text is its message, and no built-in parent adds to it."""
    error = getattr(errors, name)("what failed; what to do")
    assert str(error) == "what failed; what to do"
    assert isinstance(error, errors.FmxError)
