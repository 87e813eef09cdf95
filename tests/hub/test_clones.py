"""Two machines that send as one device are noticed, and one that was rebooted is not taken for two."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from kegnet_client.core.wire.batch import BOOT_HEADER, WARNING_HEADER
from kegnet_client.host.boot import boot_mark
from kegnet_client.hub.clones import Clones
from kegnet_client.hub.domain.rules import HOUR_MS, DeviceState, State, judge
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.records import Store
from kegnet_client.hub.store.state import read_state

from .conftest import NOW_MS

ONE, TWO, THREE = "1" * 16, "2" * 16, "3" * 16
DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"


def noted(store: Store, *boots: str, clock_ms: Callable[[], int] = lambda: NOW_MS) -> list[bool]:
    async def note() -> list[bool]:
        clones = Clones(store, clock_ms)
        return [await clones.note(DEVICE, boot) for boot in boots]

    return asyncio.run(note())


def test_a_device_that_is_rebooted_is_one_machine(store: Store) -> None:
    assert noted(store, ONE, ONE, TWO, TWO, THREE) == [False] * 5


@pytest.mark.case(144)
def test_a_boot_that_comes_back_after_another_is_a_second_machine(store: Store) -> None:
    assert noted(store, ONE, TWO, ONE, TWO, TWO) == [False, False, True, True, True]


def test_what_is_no_boot_says_nothing(store: Store) -> None:
    assert noted(store, "x", ONE, "x", "\x00" * 16, ONE) == [False] * 5


def test_an_hour_after_it_was_seen_last_it_is_over(store: Store) -> None:
    times: Iterator[int] = iter([NOW_MS, NOW_MS, NOW_MS, NOW_MS + HOUR_MS - 1, NOW_MS + HOUR_MS])
    assert noted(store, ONE, TWO, ONE, ONE, ONE, clock_ms=lambda: next(times)) == [False, False, True, True, False]


def test_both_are_told_and_an_alarm_is_raised(
    web: httpx.Client,
    hub_store: Store,
    device: str,
    batch: Callable[..., tuple[dict[str, str], bytes]],
    record: Callable[..., dict[str, object]],
) -> None:
    def send(boot: str, at_ms: int) -> httpx.Response:
        headers, content = batch(device, [record("heartbeat", device, at_ms=at_ms)])
        answer = web.post("/rest/v3/records", content=content, headers={**headers, BOOT_HEADER: boot})
        assert answer.status_code == 200
        return answer

    answers = [send(boot, NOW_MS + number) for number, boot in enumerate([ONE, TWO, ONE, TWO])]
    assert [WARNING_HEADER in answer.headers for answer in answers] == [False, False, True, True]
    assert "enroll --replace" in answers[-1].headers[WARNING_HEADER]
    table = schema.devices.c
    cloned_ms = hub_store.look(lambda one: one.scalar(select(table.cloned_ms).where(table.uuid == device)))
    assert cloned_ms is not None
    state = hub_store.read(lambda connection: read_state(connection, cloned_ms, cloned_ms))
    assert [one.rule for one in judge(state, cloned_ms) if one.subject == f"device {device}"] == ["cloned"]


def test_the_alarm_ends_an_hour_later() -> None:
    state = State(NOW_MS, devices=[DeviceState(DEVICE, "tap", NOW_MS, cloned_ms=NOW_MS)])
    (found,) = judge(state, NOW_MS)
    assert (found.rule, found.text) == ("cloned", "tap: two machines send as this device, its card was copied")
    assert "cloned" not in [one.rule for one in judge(state, NOW_MS + HOUR_MS)]


def test_a_boot_is_told_apart_and_is_not_the_kernels_own_number(tmp_path: Path) -> None:
    file = tmp_path / "boot_id"
    file.write_text("a0f1\n")
    first = boot_mark(DEVICE, file)
    file.write_text("b0f1\n")
    assert first is not None
    assert first != boot_mark(DEVICE, file)
    assert "a0f1" not in first
    assert boot_mark(DEVICE, tmp_path / "none", {}) is None
