"""Discovery on this machine's own network: who asks hears who is there, and only a signature moves a device."""

import json
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.core.errors import DocumentError
from kegnet_client.runner.announcement import Announcements
from kegnet_client.runner.compose import compose_announcement, sign_document
from kegnet_client.runner.discovery import ANSWERS_A_SECOND, MAX_PACKET_BYTES, QUESTION, Responder, find_devices
from kegnet_client.runner.trust import Trust

from ..support.operators import MAC_ID, Document, Operator

LOOPBACK = "127.0.0.1"
EVERYBODY_HERE = "127.255.255.255"
NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
URL = "https://couch.example:6984"
IDENTITY = {"MacID": MAC_ID, "uuid": "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54", "fingerprint": "ab12"}
SILENCE_S = 2.0


class Station:
    """A device that answers on ``port``; ``taken`` is what it was given."""

    def __init__(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 0))
            self.port = probe.getsockname()[1]
        self.taken: list[Mapping[str, Any]] = []
        for number in (0, 1):
            responder = Responder(IDENTITY | {"MacID": MAC_ID + number}, self.taken.append, self.port)
            threading.Thread(target=responder.run, daemon=True).start()

    def ask(self, packet: Mapping[str, Any] = QUESTION, address: str = EVERYBODY_HERE) -> list[dict[str, str]]:
        """Until both have answered, who may not listen yet."""
        for _ in range(20):
            found = list(find_devices(packet, address, SILENCE_S / 4, self.port))
            if len(found) == 2 or (address == LOOPBACK and found):
                return sorted(found, key=lambda one: one["mac_id"])
        raise AssertionError(found)


@pytest.fixture
def station() -> Station:
    station = Station()
    station.ask()
    return station


@pytest.fixture
def announcements(tmp_path: Path, trust: Trust) -> Announcements:
    return Announcements(tmp_path, frozenset({str(MAC_ID)}), trust)


def announced(operator: Operator, *to: str, server: str = URL, now_ms: int = NOW_MS) -> Document:
    return sign_document(compose_announcement(server, to, now_ms + HOUR_MS, now_ms), operator.key)


def test_a_broadcast_finds_every_device(station: Station) -> None:
    assert [one["mac_id"] for one in station.ask()] == [str(MAC_ID), str(MAC_ID + 1)]


def test_an_answer_says_who_the_device_is_and_no_credential(station: Station) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(10)
        asker.sendto(b'{"server":"http://host:5984"}', (LOOPBACK, station.port))  # as HimbeereCouch asks
        answer = json.loads(asker.recv(65536))
    assert answer.keys() == {"MacID", "uuid", "fingerprint"}
    assert station.taken == []


@pytest.mark.case(130)
def test_no_packet_ends_the_wait(station: Station) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for packet in (b"", b"\xff", b"{", b"[" * 10_000, b"[]", b"7", b"x" * (MAX_PACKET_BYTES + 1), b"1" * 9_000):
            asker.sendto(packet, (LOOPBACK, station.port))
    assert station.ask()
    assert station.taken == []


@pytest.mark.case(130)
def test_a_flood_is_not_answered_packet_by_packet(station: Station) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(1.0)
        for _ in range(20 * int(ANSWERS_A_SECOND)):
            asker.sendto(b"{}", (LOOPBACK, station.port))
        answers = 0
        try:
            while answers < 10 * ANSWERS_A_SECOND:
                asker.recv(65536)
                answers += 1
        except TimeoutError:
            pass
    assert 0 < answers < 10 * ANSWERS_A_SECOND
    assert station.ask()


def test_what_answers_nonsense_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind((LOOPBACK, 0))
        port = liar.getsockname()[1]

        def lie() -> None:
            _, asker = liar.recvfrom(65536)
            for packet in (b"{", b"[]", b"{}", b'{"MacID": "\\u001b[2J", "uuid": ["x"]}'):
                liar.sendto(packet, asker)

        threading.Thread(target=lie, daemon=True).start()
        (found,) = find_devices(QUESTION, LOOPBACK, SILENCE_S, port)
    assert found == {"address": LOOPBACK, "mac_id": r"\x1b[2J", "uuid": "['x']", "fingerprint": "-"}


def test_what_is_signed_is_given_on(station: Station, operator: Operator) -> None:
    document = announced(operator)
    station.ask(document)
    assert station.taken
    assert all(one == document for one in station.taken)


@pytest.mark.case(130)
def test_a_server_is_taken_only_if_its_announcement_is_signed(
    announcements: Announcements, operator: Operator, stranger: Operator
) -> None:
    signed = announced(operator)
    for bad in (
        {name: value for name, value in signed.items() if name != "signature"},
        {**signed, "server": "https://evil.example"},
        {**signed, "expires": "2100-01-01T00:00:00Z"},
        announced(stranger),
        announced(operator, now_ms=NOW_MS - 2 * HOUR_MS),
        {"server": "http://host:5984"},
        {"type": "server", "server": 7},
    ):
        with pytest.raises(DocumentError):
            announcements.take(bad, NOW_MS)
    assert announcements.server() is None
    assert announcements.take(signed, NOW_MS) == URL
    assert announcements.server() == URL


def test_an_announcement_for_others_moves_nobody(announcements: Announcements, operator: Operator) -> None:
    assert announcements.take(announced(operator, "7"), NOW_MS) is None
    assert announcements.server() is None
    assert announcements.take(announced(operator, str(MAC_ID)), NOW_MS) == URL


@pytest.mark.case(130)
def test_an_older_announcement_does_not_come_back_and_the_same_is_no_news(
    announcements: Announcements, operator: Operator
) -> None:
    old, new = announced(operator), announced(operator, server="https://new.example", now_ms=NOW_MS + 1)
    announcements.take(old, NOW_MS)
    assert announcements.take(new, NOW_MS) == "https://new.example"
    with pytest.raises(DocumentError, match="is not above"):
        announcements.take(old, NOW_MS)
    assert announcements.take(new, NOW_MS) is None


@pytest.mark.case(130)
def test_a_server_whose_announcer_was_revoked_is_left(
    announcements: Announcements, operator: Operator, trust: Trust
) -> None:
    announcements.take(announced(operator), NOW_MS)
    trust.revoked.write_text(operator.public.read_text())
    with pytest.raises(DocumentError, match="not one that this device allows"):
        announcements.server()


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"type": "server", "server": "https://x"}', "[" * 9_000])
def test_what_is_kept_and_damaged_is_no_server(
    text: str, announcements: Announcements, operator: Operator, tmp_path: Path
) -> None:
    (tmp_path / "announced/server.json").write_text(text)
    with pytest.raises(DocumentError):
        announcements.server()
    assert announcements.take(announced(operator), NOW_MS) == URL


def test_a_server_that_no_password_may_go_to_is_not_announced(operator: Operator) -> None:
    with pytest.raises(DocumentError, match="plain http to another machine"):
        announced(operator, server="http://couch.example:5984")
