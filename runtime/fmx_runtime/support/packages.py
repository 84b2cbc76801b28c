"""Which versions of which packages take part; reports and model metadata record them."""

from __future__ import annotations

__all__ = ["versions"]


def versions(*names: str) -> dict[str, str]:
    """Name -> version of those distributions that are installed, in the order given."""
    import importlib.metadata  # most of a tenth of a cold start

    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
