from __future__ import annotations

import re

from fmx_export.common import errors

DRAWN = re.findall(
    r"^ +([├└]── )?(\w+Error)(?: +(?:exit code )?(\d) +\(([\w, ]+)\))?",
    errors.__doc__ or "",
    re.MULTILINE,
)


def test_the_docstring_shows_the_class_tree() -> None:
    """The docstring lists each exception with its base classes and its exit code."""
    assert sorted(name for _, name, _, _ in DRAWN) == errors.__all__
    for branch, name, code, parents in DRAWN:
        kind = getattr(errors, name)
        bases = "KerasModelError" if branch else parents
        assert ", ".join(base.__name__ for base in kind.__bases__) == bases
        assert kind.exit_code == int(code or 1)
