"""``make screenshots``: every page of the demo's hub, at the size of a phone, a laptop and a TV, as pictures.

python tests/browser/screenshots.py [DIRECTORY]
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import sync_playwright

from kegnet_client.demo.show import ACTOR
from kegnet_client.demo.stage import Stage
from kegnet_client.demo.thermometer import SENSOR, remember_a_day
from kegnet_client.hub.dashboard.frame import PLACES

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SIZES = {"phone": (360, 740), "laptop": (1280, 800), "tv": (1920, 1080)}
HERE = Path(__file__).parent / "screenshots"
POURS = 3
DRAWN_S = 2.0
"""A chart is drawn in an animation, of which nothing tells the end."""


def main(directory: Path, *, everything: bool) -> None:
    """Run the demo until there is something to see, and look at it."""
    directory.mkdir(parents=True, exist_ok=True)
    stage = Stage()
    try:
        stage.set_up()
        remember_a_day(stage.spool, round(time.time() * 1000))
        stage.start("thermometer", *ACTOR, "kegnet_client.demo.thermometer", str(stage.tree))
        stage.start("tap", *ACTOR, "kegnet_client.demo.tap", str(stage.spool))
        _run_a_profile(stage)
        for _ in range(POURS):
            stage.wait_for("client", r"delivered \S+\.pour", 60)
        _look(stage, directory, everything)
    finally:
        stage.tear_down()


def _run_a_profile(stage: Stage) -> None:
    points = [(0, 4.5), (2, 4.5), (5, 3.5), (14, 3.5)]
    temperatures = [{"days": days, "temperature": wanted} for days, wanted in points]
    profile = _post(stage, "profiles", {"name": "Cellar", "type": "Serving", "temperatures": temperatures})
    started_ms = round((time.time() - 3.2 * 86_400) * 1000)
    _post(stage, "runs", {"profile": profile["id"], "sensor": SENSOR, "started_ms": started_ms})


def _post(stage: Stage, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {stage.token}"
        answer = session.post(f"{stage.url}/api/{kind}", json=body, verify=os.fspath(stage.hub / "ca.crt"), timeout=30)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made


def _look(stage: Stage, directory: Path, everything: bool) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for size, (width, height) in SIZES.items():
            context = browser.new_context(viewport={"width": width, "height": height}, ignore_https_errors=True)
            page = context.new_page()
            page.goto(f"{stage.url}/?token={stage.token}")
            for place in PLACES if everything or size == "laptop" else PLACES[:1]:
                page.goto(f"{stage.url}/ui/{place}")
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(DRAWN_S * 1000)
                page.screenshot(path=directory / f"{place}-{size}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE, everything=len(sys.argv) > 1)
