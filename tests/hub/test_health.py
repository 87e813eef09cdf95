"""`GET /health`: what a monitor learns without a token, and nothing else."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from sqlalchemy import Connection, update

from kegnet_client.core.errors import UsageError
from kegnet_client.hub.api import health
from kegnet_client.hub.app import wall_ms
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

from .test_cli import run_hub

HOUR_MS = 3_600_000


def test_anybody_may_ask_whether_the_hub_is_up(web: httpx.Client) -> None:
    answer = web.get("/health")
    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "database", "since"}
    assert (answer.json()["status"], answer.json()["database"]) == ("up", "works")
    assert answer.headers["cache-control"] == "no-store"


def test_nothing_near_it_is_open(web: httpx.Client) -> None:
    assert web.get("/health/").status_code == 401
    assert web.post("/health").status_code == 401


@pytest.mark.case(143)
def test_a_database_that_does_not_work_is_told_with_503_and_is_asked_once_a_second_at_most(
    web: httpx.Client, hub_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def fail(_work: object) -> None:
        asked.append(1)
        raise StoreError("the disk is gone")

    monkeypatch.setattr(health, "LOOK_S", 0.0)
    monkeypatch.setattr(hub_store, "look_soon", fail)
    answer = web.get("/health")
    assert (answer.status_code, answer.json()["database"]) == (503, "does not work")
    assert "disk" not in answer.text
    monkeypatch.setattr(health, "LOOK_S", 3600.0)
    first = len(asked)
    for _ in range(5):
        assert web.get("/health").status_code == 503
    assert len(asked) == first
    monkeypatch.undo()
    monkeypatch.setattr(health, "LOOK_S", 0.0)
    assert web.get("/health").status_code == 200


def test_those_who_ask_while_the_database_is_asked_wait_for_that_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def fail(_work: object) -> None:
        asked.append(1)
        await asyncio.sleep(0.05)
        raise StoreError("the disk is gone")

    monkeypatch.setattr(health, "LOOK_S", 3600.0)
    monkeypatch.setattr(store, "look_soon", fail)
    app = FastAPI()
    app.include_router(health.make_router(store, wall_ms))

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://hub") as client:
            return [answer.status_code for answer in await asyncio.gather(*(client.get("/health") for _ in range(20)))]

    assert asyncio.run(ask()) == [503] * 20
    assert len(asked) == 1


@pytest.fixture
def hub(tmp_path: Path, device_key: rsa.RSAPrivateKey) -> Callable[..., int]:
    """``hub("devices", "list")`` on a hub of three devices: one that sends, one silent for two hours, one revoked."""

    def run(*words: str) -> int:
        return run_hub(*words, "--dir", str(tmp_path / "hub"))

    run("init", "--host", "localhost")
    store = Store(tmp_path / "hub" / "hub.db")
    key = device_key.public_key()
    seen_ms = {}
    for number, (name, ago_ms) in enumerate([("sends", 0), ("silent", 2 * HOUR_MS), ("revoked", 9 * HOUR_MS)]):
        uuid = f"00000000-0000-4000-8000-00000000000{number}"
        store.add_device(uuid, key, name, wall_ms())
        seen_ms[uuid] = wall_ms() - ago_ms

    def see(connection: Connection) -> None:
        table = schema.devices
        for uuid, at_ms in seen_ms.items():
            connection.execute(update(table).where(table.c.uuid == uuid).values(last_seen_ms=at_ms))

    store.write(see)
    store.revoke_device("00000000-0000-4000-8000-000000000002", wall_ms())
    store.close()
    return run


def test_the_devices_that_are_silent_are_listed(hub: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    hub("devices", "list", "--silent", "1h")
    (line,) = capsys.readouterr().out.splitlines()
    assert "silent" in line
    hub("devices", "list", "--silent", "3h")
    assert capsys.readouterr().out == ""


def test_the_list_is_there_for_programs(hub: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    hub("devices", "list", "--silent", "1h", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["revoked_ms"]) == ("silent", None)
    hub("devices", "list", "--json")
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["sends", "silent", "revoked"]


@pytest.mark.parametrize("text", ["1", "h", "-1h", "1w", "1.5h", "0m"])
def test_what_is_no_duration_is_told(hub: Callable[..., int], text: str) -> None:
    with pytest.raises(UsageError, match="--silent"):
        hub("devices", "list", f"--silent={text}")
