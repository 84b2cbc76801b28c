"""Take a screenshot of the top of an HTML page for the README: ``screenshot.py PAGE.html OUT.png``.

Headless Chromium renders the page. The image is reduced to a palette, so that it stays small.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from fmx_runtime.support import atomic

_WIDTH, _HEIGHT = 1240, 640
_COLORS = 64
_TIMEOUT_S = 60


def render(chromium: str, page: Path, image: Path) -> None:
    """Write a screenshot of the first screen of a page as PNG."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={profile}",
                f"--window-size={_WIDTH},{_HEIGHT}",
                f"--screenshot={image}",
                page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=_TIMEOUT_S,
        )


def main() -> int:
    """Run the tool and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, metavar="PAGE.html")
    parser.add_argument("output", type=Path, metavar="OUT.png")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("screenshot.py needs chromium: 'sudo apt-get install chromium'", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        raw, small = Path(folder) / "raw.png", Path(folder) / "small.png"
        render(chromium, options.page, raw)
        with Image.open(raw) as image:
            image.convert("RGB").quantize(_COLORS).save(small, optimize=True)
        atomic.make_folder(options.output.parent)
        atomic.write(options.output, small.read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
