"""The database that `module database init` makes: who may write what, and what the feed holds."""

import itertools
import uuid
from collections.abc import Iterator

import pytest

from kegnet_client.core.errors import ServerRefusalError
from kegnet_client.runner.couch import FILTER, Couch, Login, read_login
from kegnet_client.runner.database import DEVICE_ROLE, OPERATOR_ROLE, make_database, make_user

from ..support.operators import MAC_ID, command, program
from ..support.pouchdb import PouchDB

pytestmark = pytest.mark.process


@pytest.fixture
def administrator(pouchdb_server: PouchDB) -> Iterator[Couch]:
    couch = Couch(pouchdb_server.url, f"lab/{uuid.uuid4().hex[:8]}", read_login(pouchdb_server.login_file))
    make_database(couch)
    yield couch
    couch.close()


def as_user(administrator: Couch, user: str, *roles: str) -> Couch:
    make_user(administrator, user, "secret", *roles)
    return Couch(administrator.url, administrator.database, Login(user, "secret"))


@pytest.fixture
def device(administrator: Couch) -> Couch:
    return as_user(administrator, str(MAC_ID), DEVICE_ROLE)


def test_it_is_made_again_without_harm(administrator: Couch) -> None:
    administrator.replace(program())
    make_database(administrator)
    assert administrator.get("a1") is not None


def test_a_device_writes_its_own_documents_and_nothing_else(administrator: Couch, device: Couch) -> None:
    administrator.replace(program())
    for own in (f"{MAC_ID}_heartbeat", f"{MAC_ID}_log", f"command-1_ret_{MAC_ID}"):
        device.replace({"_id": own, "type": "x"})
    for document in (
        program(code="worse"),
        {"_id": "1_heartbeat"},
        {"_id": f"command-1_ret_{MAC_ID}1"},
        program(_id="b"),
    ):
        with pytest.raises(ServerRefusalError):
            device.replace(document)


def test_a_device_answers_its_commands_and_changes_nothing_in_them(administrator: Couch, device: Couch) -> None:
    administrator.replace(command("id"))
    device.update("c1", lambda old: {**old, "ret": ["x", ""]})
    with pytest.raises(ServerRefusalError):
        device.update("c1", lambda old: {**old, "cmd": ["reboot"]})
    administrator.replace(command("id", _id="other", type=f"{MAC_ID + 1}_cmd"))
    with pytest.raises(ServerRefusalError):
        device.update("other", lambda old: {**old, "ret": ["x", ""]})


def test_a_device_whose_user_is_called_otherwise_writes_by_what_documents_call_it(administrator: Couch) -> None:
    uuid_ = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
    device = as_user(administrator, "taproom", DEVICE_ROLE, str(MAC_ID), uuid_)
    device.replace({"_id": f"{MAC_ID}_heartbeat", "type": "heartbeat"})
    administrator.replace(command("id", type=f"{uuid_.upper()}_cmd"))
    device.update("c1", lambda old: {**old, "ret": ["x", ""]})
    for foreign in (f"{MAC_ID + 1}_heartbeat", "taproom_heartbeat", f"{DEVICE_ROLE}_heartbeat", f"x_ret_{MAC_ID + 1}"):
        with pytest.raises(ServerRefusalError):
            device.replace({"_id": foreign, "type": "heartbeat"})


def test_an_operator_writes_programs_and_no_designs(administrator: Couch) -> None:
    operator = as_user(administrator, "ann", OPERATOR_ROLE)
    operator.replace(program())
    operator.update("a1", lambda old: {"_id": "a1", "_deleted": True})
    with pytest.raises(ServerRefusalError):
        operator.update("_design/kegnet", lambda old: {**old, "filters": {}})


def test_nobody_else_reads_it(administrator: Couch) -> None:
    with pytest.raises(ServerRefusalError):
        Couch(administrator.url, administrator.database, None).get("a1")
    with pytest.raises(ServerRefusalError):
        as_user(administrator, "guest", "nobody").get("a1")


def test_the_feed_holds_programs_commands_and_deletions_alone(administrator: Couch, device: Couch) -> None:
    device.replace({"_id": f"{MAC_ID}_heartbeat", "type": "heartbeat"})
    for identifier in ("a", "b"):
        administrator.replace(program(_id=identifier))
    administrator.replace(command("id"))
    device.replace({"_id": f"c1_ret_{MAC_ID}", "type": "result"})
    administrator.update("a", lambda old: {"_id": "a", "_deleted": True})
    administrator.update("b", lambda old: {"_id": "b", "note": "its code is gone"})
    changes = list(itertools.islice(filter(None, device.follow(0, {"filter": FILTER})), 4))
    assert {(change.id, change.deleted) for change in changes} >= {("a", True), ("b", False), ("c1", False)}
    assert not {change.id for change in changes} & {f"{MAC_ID}_heartbeat", f"c1_ret_{MAC_ID}"}
