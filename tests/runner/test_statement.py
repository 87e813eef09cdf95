"""What a signed document says: each member, what the signature covers, and what is refused before anybody is asked."""

import hashlib
from typing import Any

import pytest

from kegnet_client.core.errors import DocumentError
from kegnet_client.runner.statement import (
    DEFAULT_COMMAND_S,
    Permissions,
    is_candidate,
    read_statement,
    read_unsigned,
    signed_bytes,
)

from ..support.operators import MAC_ID, command, program

UUID = "3F2B8C1E-5D47-4A96-8E0B-7C1D2A9F6B54"


def test_the_signed_bytes_are_canonical_and_without_what_a_database_or_a_device_adds() -> None:
    document = {"_id": "a", "_rev": "1-x", "timestamp": "now", "created_by": "x", "ret": [], "signature": "s"}
    assert (
        signed_bytes({**document, "name": "é", "a": 1.0, "Z": [True, None]})
        == '{"Z":[true,null],"a":1,"name":"é"}'.encode()
    )


def test_the_digest_is_of_the_signed_bytes() -> None:
    statement = read_unsigned(program())
    assert statement.digest == hashlib.sha256(signed_bytes(program())).hexdigest()


def test_a_whole_number_is_the_same_after_a_database_made_it_a_float() -> None:
    assert (
        read_unsigned(program(sequence=3)).digest
        == read_unsigned(program(type=float(MAC_ID)) | {"sequence": 3.0}).digest
    )


@pytest.mark.parametrize(
    ("members", "modules"),
    [
        ({"code": "x"}, {"main": "x"}),
        ({"modules": {"main": "x", "other": "y"}}, {"main": "x", "other": "y"}),
        ({"code": "x", "modules": {"main": "not this", "other": "y"}}, {"main": "x", "other": "y"}),
        ({"global_modules": {"library": "z"}}, {}),
    ],
)
def test_the_modes_of_modules_are_himbeerecouchs(members: dict[str, Any], modules: dict[str, str]) -> None:
    document = {name: value for name, value in program().items() if name != "code"} | members
    statement = read_unsigned(document)
    assert (statement.modules, statement.is_program) == (modules, bool(modules))


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({}, [str(MAC_ID)]),
        ({"type": UUID}, [UUID.lower()]),
        ({"type": "module", "targets": [MAC_ID, UUID]}, [str(MAC_ID), UUID.lower()]),
        ({"type": "module", "targets": "all"}, ["all"]),
    ],
)
def test_a_program_is_addressed_by_its_type_or_its_targets(members: dict[str, Any], names: list[str]) -> None:
    assert read_unsigned(program(**members)).targets == set(names)


def test_a_command_is_addressed_by_its_type_and_has_its_time() -> None:
    statement = read_unsigned(command("echo", "hi"))
    assert statement.command == ("echo", "hi")
    assert statement.targets == {str(MAC_ID)}
    assert statement.answers_in_place
    assert statement.permissions == Permissions(seconds=DEFAULT_COMMAND_S)


def test_a_command_for_several_devices_is_not_answered_in_place() -> None:
    assert not read_unsigned(command("id", type="command", targets="all")).answers_in_place


def test_permissions_are_what_is_said_and_nothing_else() -> None:
    asked = {"network": True, "spool": True, "devices": ["/dev/ttyUSB0"], "memory_mib": 64, "seconds": 5}
    asked |= {"gpio": ["/dev/gpiochip0:17", "/dev/gpiochip0:0"]}
    granted = Permissions(True, True, ("/dev/ttyUSB0",), ("/dev/gpiochip0:17", "/dev/gpiochip0:0"), 64, 5)
    assert read_unsigned(program(permissions=asked)).permissions == granted
    assert read_unsigned(program()).permissions == Permissions()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"name": None}, "name is missing"),
        ({"name": "../x"}, "name is not of letters"),
        ({"sequence": None}, "sequence is missing"),
        ({"sequence": True}, "sequence is missing"),
        ({"sequence": 0}, "sequence is missing"),
        ({"sequence": 1.5}, "sequence is missing"),
        ({"type": None}, "addressee is missing"),
        ({"type": "module"}, "targets are missing"),
        ({"type": "module", "targets": []}, "targets are missing"),
        ({"type": "command", "targets": "all"}, "which it does not hold"),
        ({"targets": "all"}, "it has targets"),
        ({"code": 7}, "code is missing or no text"),
        ({"cmd": ["x"]}, "a command and modules"),
        ({"modules": {"os": "x"}}, "'os', which no module"),
        ({"modules": {"a b": "x"}}, "'a b', which no module"),
        ({"modules": {"a": 1}}, "module a is no text"),
        ({"modules": {f"m{n}": "" for n in range(65)}}, "64 members at most"),
        ({"global_modules": []}, "no object"),
        ({"expires": "tomorrow"}, "no time with its zone"),
        ({"expires": "2030-01-01T00:00:00"}, "no time with its zone"),
        ({"permissions": {"root": True}}, "the permission 'root', which is not known"),
        ({"permissions": {"network": 1}}, "neither true nor false"),
        ({"permissions": {"devices": ["/dev/../etc"]}}, "no list of paths"),
        ({"permissions": {"gpio": ["/dev/gpiochip0"]}}, "such as /dev/gpiochip0:17"),
        ({"permissions": {"gpio": ["/dev/../etc:1"]}}, "such as /dev/gpiochip0:17"),
        ({"permissions": {"gpio": ["/dev/gpiochip0:17"] * 2}}, "a line twice"),
        ({"permissions": {"gpio": [f"/dev/gpiochip0:{n}" for n in range(65)]}}, "64 lines at most"),
        ({"permissions": {"memory_mib": -1}}, "memory_mib is missing or"),
        ({"_attachments": {"x": {}}}, "attachments"),
        ({"more": 2**60}, "no canonical form"),
        ({"more": float("nan")}, "no canonical form"),
        ({"more": "\ud800"}, "no canonical form"),
        ({"code": "x" * 1024 * 1024}, "the most is"),
    ],
    ids=str,
)
def test_a_program_that_is_not_plain_is_refused(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        read_unsigned(program(**members))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"cmd": []}, "no list of 1 to 256 words"),
        ({"cmd": "reboot"}, "no list of 1 to 256 words"),
        ({"cmd": ["echo", 1]}, "something that is no word"),
        ({"cmd": ["a\0b"]}, "something that is no word"),
        ({"expires": None}, "expires is missing"),
        ({"type": MAC_ID}, "type is missing or no text"),
        ({"type": "x"}, "does not end with _cmd"),
    ],
    ids=str,
)
def test_a_command_that_is_not_plain_is_refused(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        read_unsigned(command("echo") | members)


def test_a_command_without_an_end_is_refused() -> None:
    document = command("echo")
    del document["expires"]
    with pytest.raises(DocumentError, match="needs expires"):
        read_unsigned(document)


@pytest.mark.parametrize("signature", [None, "", 7, "é", "x" * 20_000])
def test_what_has_no_signature_is_refused(signature: object) -> None:
    with pytest.raises(DocumentError, match="sign"):
        read_statement(program(signature=signature))


def test_nesting_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(DocumentError, match="no canonical form"):
        read_unsigned(program(more=deep))


def test_only_what_means_to_run_is_worth_a_refusal() -> None:
    assert is_candidate(program())
    assert is_candidate(command("x"))
    assert not is_candidate({"_id": "1_heartbeat", "type": "heartbeat"})
    assert not is_candidate({"_id": "_design/x", "code": "x"})
