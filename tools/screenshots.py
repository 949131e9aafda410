"""Makes the pictures of the live page in docs/_static: ``python tools/screenshots.py``.

Needs Chromium and pngquant. The crawl on them is the one of the tests' views.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests" / "unit"), str(ROOT / "tests" / "integration")]

from browser import Server, browser, new_tab  # noqa: E402 - found through the path set above
from views import large_view  # noqa: E402 - as above

OUT = ROOT / "docs" / "_static"
SIZES = {360: 740, 1366: 768, 3840: 2160}
WIDE = 2000
"""Pixels above which a picture is half as large as the window."""
READY = """document.readyState === "complete"
    && document.querySelectorAll("canvas").length === 2
    && document.getElementById("link").textContent === "Live" """


async def shoot(port: int) -> None:
    """Take a picture of each width, light and dark."""
    view = large_view(hostile=False)
    async with Server(view).serve() as url, new_tab(port) as tab:
        await tab.send("Emulation.setTimezoneOverride", timezoneId="Etc/UTC")
        for scheme in ("light", "dark"):
            await tab.scheme(scheme)
            for width, height in SIZES.items():
                await tab.open(url, width=width, height=height)
                await tab.until(READY)
                await asyncio.sleep(0.3)  # the charts are as wide as their cards
                wide = width > WIDE
                picture = await tab.shot(width, height, 0.5 if wide else 1)
                small(picture, OUT / f"page-{width}-{scheme}.png", 48 if wide else 128)


def small(picture: bytes, path: Path, colours: int) -> None:
    """Write a picture with as few colours as it needs."""
    command = ["pngquant", "--nofs", "--speed", "1", "--strip", str(colours), "-"]
    made = subprocess.run(command, input=picture, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603
    path.write_bytes(made)
    print(f"{path.relative_to(ROOT)}: {len(made) / 1000:.0f} kB")


if __name__ == "__main__":
    with browser() as port:
        asyncio.run(shoot(port))
