"""Whatever was changed in a ledger after the hub wrote it, or before, is found and named."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kegnet_client.hub import pki
from kegnet_client.hub.home import Home
from kegnet_client.hub.ledger.verify import Fault
from kegnet_client.hub.serve import utc_now
from kegnet_client.hub.store.records import Store

from .conftest import ED25519, P256, RSA, Send, faults, forged, written


@pytest.mark.case(83)
def test_any_one_changed_byte_is_found_and_its_line_is_named(ledger: bytes) -> None:
    starts = [0, *(place + 1 for place, byte in enumerate(ledger) if byte == ord("\n"))]

    @settings(max_examples=settings().max_examples * 5 // 2, deadline=None)
    @given(st.integers(0, len(ledger) - 1) | st.integers(len(ledger) - 600, len(ledger) - 1), st.integers(1, 255))
    def check(place: int, change: int) -> None:
        changed = bytearray(ledger)
        changed[place] ^= change
        found = faults(bytes(changed))
        number = sum(start <= place for start in starts)
        assert found[0].number == number, found
        assert found[0].what, "it has no name"

    check()


@pytest.mark.case(83)
def test_every_place_where_a_ledger_may_be_cut_is_found(ledger: bytes) -> None:
    @settings(max_examples=settings().max_examples, deadline=None)
    @given(st.integers(0, len(ledger) - 1) | st.integers(len(ledger) - 700, len(ledger) - 1))
    def check(length: int) -> None:
        assert "end is missing" in str(faults(ledger[:length]))

    check()


@pytest.mark.case(83)
@pytest.mark.parametrize(
    ("change", "number"),
    [
        (lambda all_: all_[:5] + all_[6:], 6),
        (lambda all_: [*all_[:5], all_[6], all_[5], *all_[7:]], 6),
        (lambda all_: [*all_[:5], all_[5], *all_[5:]], 7),
        (lambda all_: all_[1:], 1),
        (lambda all_: [*all_, all_[-1]], -1),
        (lambda all_: [*all_, b"\n"], -1),
        (lambda all_: [*all_[:3], b"\n", *all_[3:]], 4),
    ],
    ids=["without one", "two swapped", "one twice", "without its head", "end twice", "more", "an empty one"],
)
def test_a_line_that_is_missing_added_or_moved_is_found(
    ledger: bytes, change: Callable[[Sequence[bytes]], list[bytes]], number: int
) -> None:
    changed = change(ledger.splitlines(keepends=True))
    found = faults(b"".join(changed))
    assert found[0].number == (number if number > 0 else len(changed))


def test_who_makes_all_digests_anew_cannot_sign_them(ledger: bytes) -> None:
    def change(facts: dict[str, Any]) -> dict[str, Any]:
        return {**facts, "said_by": "bob"} if facts["line"] == "entry" else facts

    key = pki.make_key()
    stranger = pki.signer_of(key, pki.make_ca(key, "stranger", utc_now()))
    found = faults(forged(ledger, stranger, change))
    assert "the hub's CA has not signed this" in found[0].text
    assert "end is missing" in found[1].text


@pytest.fixture
def resigned(ledger: bytes, home: Home) -> Callable[..., list[Fault]]:
    """What is found after the hub itself, which has the CA's key, has written ``change`` into its ledger."""
    return lambda change: faults(forged(ledger, pki.signer_of(*home.ca_pair()), change))


@pytest.mark.case(84)
@pytest.mark.parametrize(
    ("kind", "which", "change", "fault"),
    [
        ("pours", {"protocol": "v2"}, {"pulses": 7}, "columns pulses"),
        ("pours", {"protocol": "v3"}, {"pulses": 7}, "columns pulses"),
        ("pours", {"protocol": "v2"}, {"device": P256}, "vouches for no such key"),
        ("pours", {"protocol": "v2"}, {"signed": "AAAA"}, "fields"),
        ("pours", {"protocol": "v2"}, {"signed": 7}, "instead of base64"),
        ("pours", {"protocol": "v2"}, {"signature": "AAAA"}, "signature is not this device's"),
        ("temperatures", {"protocol": "v2"}, {"signature": "A"}, "not base64"),
        ("heartbeats", {"protocol": "v3"}, {"request": 99}, "does not stand before it"),
        ("heartbeats", {"protocol": "v3"}, {"record_id": "0" * 32}, "does not hold it"),
        ("temperatures", {"protocol": "v3"}, {"line": "pours"}, "columns"),
        ("request", {"device": P256}, {"path": "/other"}, "does not hold"),
        ("request", {"device": ED25519}, {"content": "AAAA"}, "Digest"),
        ("key", {"device": RSA}, {"device": ED25519}, "does not vouch"),
        ("key", {"device": RSA}, {"inferred": True}, "does not vouch"),
        ("key", {"device": RSA}, {"pem": "x"}, "no public key"),
        ("ledger", {}, {"format": "x"}, "no ledger"),
        ("ledger", {}, {"version": 2}, "newer version"),
        ("ledger", {}, {"ca": "x"}, "CA"),
        ("entry", {}, {"line": "x"}, "no such kind"),
    ],
)
def test_not_even_the_hub_can_change_what_a_device_signed(
    resigned: Callable[..., list[Fault]],
    kind: str,
    which: Mapping[str, object],
    change: Mapping[str, object],
    fault: str,
) -> None:
    def work(facts: dict[str, Any]) -> dict[str, Any]:
        is_it = facts["line"] == kind and which.items() <= facts.items()
        return {**facts, **change} if is_it else facts

    found = resigned(work)
    assert fault in " ".join(one.text for one in found if one.what.startswith((kind, str(change.get("line", kind)))))


@pytest.mark.case(84)
def test_a_record_that_the_hub_left_out_is_missed_where_its_request_holds_it(
    resigned: Callable[..., list[Fault]],
) -> None:
    found = resigned(lambda facts: [] if facts["line"] == "pours" and facts["protocol"] == "v3" else facts)
    assert len(found) == 6
    assert all("of pours, which is missing" in one.text and one.what.startswith("request") for one in found)


def test_a_record_cannot_stand_in_a_ledger_twice(resigned: Callable[..., list[Fault]]) -> None:
    found = resigned(lambda facts: [facts, dict(facts)] if facts["line"] == "pours" else facts)
    assert len(found) == 8
    assert all("stands in the ledger twice" in one.text for one in found)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pours SET signature = 7 WHERE id = 1",
        "UPDATE pours SET signed = 'x' WHERE id = 1",
        "UPDATE pours SET key = 'x' WHERE id = 1",
        "UPDATE pours SET pulses = 'x' WHERE id = 1",
        "UPDATE pours SET device = 'x' WHERE id = 1",
        "UPDATE pours SET request = 99 WHERE id = 1",
        "UPDATE pours SET protocol = 'v9' WHERE id = 1",
    ],
)
def test_what_somebody_wrote_into_the_database_is_exported_and_found(
    home: Home, store: Store, send: Send, statement: str
) -> None:
    send(store, 0)
    with closing(sqlite3.connect(str(store.url.database))) as connection, connection:
        connection.execute(statement)
    found = faults(written(home, store))
    assert [one for one in found if one.what.startswith("pours 1 of")], found
