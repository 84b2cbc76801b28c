"""Look up versions of installed packages, which reports and model metadata record."""

from __future__ import annotations

__all__ = ["versions"]


def versions(*names: str) -> dict[str, str]:
    """Return the versions of those distributions that are installed, in the order given."""
    import importlib.metadata  # takes nearly a tenth of a cold start

    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
