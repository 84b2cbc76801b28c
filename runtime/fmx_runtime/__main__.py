"""Run ``fmx-run`` as ``python -m fmx_runtime``."""

from __future__ import annotations

import sys

from fmx_runtime.command.main import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
