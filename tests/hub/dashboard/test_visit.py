"""What a page does for somebody is refused where they may not, whatever the page shows."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import pytest
from sqlalchemy import Connection

pytest.importorskip("nicegui", reason="takes the extra dashboard")

from nicegui import Client, ui
from nicegui.page import page

from kegnet_client.hub.bus import Bus
from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.logo import data_url
from kegnet_client.hub.domain.roles import Principal, Role
from kegnet_client.hub.entrance import Entrance
from kegnet_client.hub.store import bodies, entries
from kegnet_client.hub.store.records import Store

Make = Callable[[Role], Visit]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page tells who looks."""
    told: list[str] = []
    monkeypatch.setattr(ui, "notify", lambda text, **_look: told.append(text))
    return told


@pytest.fixture
def visit(store: Store) -> Make:
    """``visit(role)``: of somebody who has it."""
    hub = Hub(store, Bus(store), lambda: 1000, Entrance(lambda: ["hub"], 8443, b""), "")
    return lambda role: Visit(hub, Principal("anna", role), bodies.Settings(), nullcontext())


@pytest.mark.parametrize(
    ("role", "needs", "expected"),
    [
        (Role.READ, Role.OPERATE, False),
        (Role.OPERATE, Role.ADMIN, False),
        (Role.OPERATE, Role.OPERATE, True),
        (Role.ADMIN, Role.ADMIN, True),
    ],
)
def test_nothing_is_done_that_takes_more_than_the_token(
    visit: Make, told: list[str], role: Role, needs: Role, expected: bool
) -> None:
    done: list[Connection] = []
    assert asyncio.run(visit(role).do(done.append, needs)) is expected
    assert (bool(done), told) == (expected, ["Saved" if expected else "Your token may not do this."])


def test_a_guest_says_nothing(visit: Make, store: Store, told: list[str]) -> None:
    assert not asyncio.run(visit(Role.READ).say("tap", None, bodies.Tap(name="left")))
    assert store.read(lambda connection: entries.read_all(connection, "tap")) == []
    assert told == ["Your token may not do this."]


def test_what_somebody_else_changed_meanwhile_is_told(visit: Make, told: list[str]) -> None:
    def work(_connection: Connection) -> None:
        raise entries.ChangedError("the tap was changed")

    assert not asyncio.run(visit(Role.OPERATE).do(work))
    assert told == ["Somebody else has changed it meanwhile: look again."]


def test_what_holds_is_told_though_what_was_pressed_was_drawn_anew_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[Client, str]] = []
    monkeypatch.setattr(ui, "notify", lambda text, **_look: told.append((ui.context.client, text)))

    async def press() -> Client:
        with Client(page("/taps")) as client:
            hub = Hub(store, Bus(store), lambda: 1000, Entrance(lambda: ["hub"], 8443, b""), "")
            visit = Visit(hub, Principal("anna", Role.OPERATE), bodies.Settings(), client)
            card = ui.card()
            number, slot = card.id, card.default_slot
            del card  # else it would live on

            def draw_anew(_connection: Connection) -> None:
                client.elements[number].delete()
                gc.collect()

            with slot:
                assert await visit.do(draw_anew)
        return client

    client = asyncio.run(press())
    assert told == [(client, "Saved")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n1", "data:image/png;base64,"),
        (b"\xff\xd8\xff1", "data:image/jpeg;base64,"),
        (b"GIF89a", "data:image/gif;base64,"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "data:image/webp;base64,"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"<svg/>", None),
        (b"", None),
        (b"GIF89a" + bytes(bodies.MAX_LOGO_BYTES), None),
    ],
)
def test_a_logo_is_a_small_image_that_can_hold_no_script(content: bytes, expected: str | None) -> None:
    url = data_url(content)
    assert (url is None) is (expected is None)
    if expected is not None:
        assert cast(str, url).startswith(expected)
        assert bodies.Settings(logo=cast(str, url)).logo == url


def test_the_largest_logo_goes_into_the_settings() -> None:
    largest = data_url(b"RIFF\0\0\0\0WEBP".ljust(bodies.MAX_LOGO_BYTES, b"\0"))
    assert largest is not None
    assert bodies.Settings(logo=largest).logo == largest
