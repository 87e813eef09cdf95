"""What axe-core finds wrong for people with a screen reader, a keyboard, or weak eyes: nothing serious."""

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.dashboard.mount import PAGES

from .conftest import OpenPage, pour

pytestmark = pytest.mark.process

AXE = Path("node_modules", "axe-core", "axe.min.js")
PLACES = [Path(sys.prefix) / "node", Path(__file__).parents[2] / ".venv-test" / "node"]
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def axe() -> str:
    """The script, which comes from npm."""
    for place in PLACES:
        if (place / AXE).is_file():
            return (place / AXE).read_text("utf-8")
    pytest.skip(f"takes axe-core, from npm, in {PLACES[-1]}")


@pytest.fixture(scope="module")
def poured(api: httpx.Client, key: rsa.RSAPrivateKey, tap: dict[str, Any]) -> None:
    """So that there is something to see."""
    assert tap
    for pulses in (1000, 2000):
        pour(api, key, pulses)
    api.post(
        "/publish", data={"channel": "alarms", "data": '{"alarms": [{"source": "Bar", "code": 1, "msg": "warm"}]}'}
    )


@pytest.mark.usefixtures("poured")
@pytest.mark.parametrize("place", [*PAGES, "login"])
def test_nothing_serious_stands_in_anybodys_way(open_page: OpenPage, axe: str, place: str) -> None:
    page = open_page("taps")
    address = page.url.replace("/ui/taps", "/login" if place == "login" else f"/ui/{place}")
    told = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(address)
        page.wait_for_load_state("networkidle")
        page.evaluate(axe)
        serious = [one for one in page.evaluate("axe.run()")["violations"] if one["impact"] in SERIOUS]
        told += [f"{scheme}: {one['id']}: {node['html'][:200]}" for one in serious for node in one["nodes"]]
    assert not told, "\n".join(told)
