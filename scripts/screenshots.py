"""Take the pictures of the page in docs/images: headless Chromium over a team at work.

Servers of its own on a temporary store, and the team of scripts/web_scene.py; needs Chromium.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PROGRAM = (sys.executable, "-m", "dovetail.cli")
ANY = "127.0.0.1:0"
ME, TEAM = "petra", "release"
SCENE_SECONDS = 260
WORK_SECONDS = 200
"""How long the team has worked when the pictures are taken."""

WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 780}
Picture = tuple[str, str, ViewportSize, Literal["light", "dark"]]

PICTURES: tuple[Picture, ...] = (
    ("page-light", "#/now", WIDE, "light"),
    ("page-dark", "#/now", WIDE, "dark"),
    ("page-task", "#/tasks?task=t6", WIDE, "light"),
    ("page-inbox", "#/inbox", WIDE, "light"),
    ("page-phone", "#/now", PHONE, "light"),
)


def take(browser: Browser, url: str, picture: Picture) -> None:
    """Take one picture."""
    name, fragment, size, scheme = picture
    context: Any = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(url)
    page.fill("[data-test=login-name]", ME)
    page.fill("[data-test=login-team]", TEAM)
    page.click("[data-test=login-send]")
    page.wait_for_selector("[data-test=connection][data-state=live]")
    page.goto(f"{url}{fragment}")
    page.wait_for_timeout(1_500)
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"docs/images/{name}.png")
    context.close()


def main() -> None:
    """Start the servers and the team, and take all pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        sys.exit("no Chromium here: install it, for instance apt-get install chromium")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        listen = [f"--{name}-listen={ANY}" for name in ("messaging", "tasks", "web")]
        command = [*PROGRAM, "up", "--json", f"--data-dir={folder}", *listen]
        up = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert up.stdout is not None
        facts = json.loads(up.stdout.readline())
        servers = [f"--{name}={facts[name]}" for name in ("messaging", "tasks")]
        options = [f"--team={TEAM}", f"--me={ME}", f"--seconds={SCENE_SECONDS}", *servers]
        team = subprocess.Popen([sys.executable, ROOT / "scripts" / "web_scene.py", *options])
        try:
            time.sleep(WORK_SECONDS)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                for picture in PICTURES:
                    take(browser, facts["web"], picture)
                browser.close()
        finally:
            for each in (team, up):
                each.terminate()
                each.wait()


if __name__ == "__main__":
    main()
