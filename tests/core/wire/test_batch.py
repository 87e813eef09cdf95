"""The content of a REST v3 request, record by record."""

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core import records
from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import Heartbeat, Pour, Reading
from kegnet_client.core.wire import batch as wire_batch
from kegnet_client.core.wire import forms
from kegnet_client.core.wire.base_url import Version
from kegnet_client.core.wire.batch import ContentError, Item, TooMuchError

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
SENSOR = "28-0316a2795c5b"
NOW_MS = 1_795_219_200_000
POUR = Pour(0, 586, 8123, 1386531209417)
READING = Reading(SENSOR, 3875, 1386531300000)
HEARTBEAT = Heartbeat(1386531300000)

AnyRecord = Pour | Reading | Heartbeat

times = st.integers(records.FIRST_MS, records.LAST_MS)
any_record: st.SearchStrategy[AnyRecord] = st.one_of(
    st.builds(
        Pour,
        st.integers(0, records.MAX_PIN),
        st.integers(1, records.MAX_PULSES),
        st.integers(0, records.MAX_ELAPSED_MS),
        times,
    ),
    st.builds(
        Reading,
        st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{12}", fullmatch=True),
        st.integers(records.MIN_MILLIDEGREES, records.MAX_MILLIDEGREES).filter(lambda value: value != -1),
        times,
    ),
    st.builds(Heartbeat, times),
)


def batch(*batch: AnyRecord) -> dict[str, AnyRecord]:
    return {wire_batch.identify(record, DEVICE): record for record in batch}


def content(**changes: Any) -> bytes:
    """A request with one pour, whose fields are changed; None leaves one out."""
    fields = {"id": wire_batch.identify(POUR, DEVICE), "type": "pour", "pin": 0, "pulses": 586, "elapsed_ms": 8123}
    fields |= {"started_ms": 1386531209417, **changes}
    record = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"device": DEVICE, "records": [record]}).encode()


# --- identities ------------------------------------------------------------------------------------------------


def test_a_pour_has_the_identity_of_the_string_that_v2_signs() -> None:
    signed_by_v2 = forms.call_for(POUR, DEVICE, Version.V2).canonical_string

    assert wire_batch.canonical_string(POUR, DEVICE) == signed_by_v2
    assert wire_batch.identify(POUR, DEVICE) == hashlib.sha256(signed_by_v2).hexdigest()[:32]


def test_canonical_strings_are_the_values_joined_by_commas() -> None:
    assert wire_batch.canonical_string(READING, DEVICE) == f"{DEVICE},{SENSOR},3875,1386531300000".encode()
    assert wire_batch.canonical_string(HEARTBEAT, DEVICE) == f"{DEVICE},1386531300000".encode()


def test_a_signature_covers_the_encoding_where_there_is_one() -> None:
    assert wire_batch.covered(is_encoded=True) == (
        "@method",
        "@path",
        "content-type",
        "content-encoding",
        "content-digest",
    )
    assert wire_batch.covered(is_encoded=False) == ("@method", "@path", "content-type", "content-digest")


@pytest.mark.parametrize(
    ("record", "at_ms"), [(POUR, 1386531209417), (READING, 1386531300000), (HEARTBEAT, 1386531300000)]
)
def test_every_record_has_its_time(record: AnyRecord, at_ms: int) -> None:
    assert records.time_ms(record) == at_ms


# --- the content -----------------------------------------------------------------------------------------------


def test_the_content_is_what_the_protocol_shows() -> None:
    assert json.loads(wire_batch.format_content(DEVICE, batch(POUR, READING, HEARTBEAT))) == {
        "device": DEVICE,
        "records": [
            {
                "id": wire_batch.identify(POUR, DEVICE),
                "type": "pour",
                "pin": 0,
                "pulses": 586,
                "elapsed_ms": 8123,
                "started_ms": 1386531209417,
            },
            {
                "id": wire_batch.identify(READING, DEVICE),
                "type": "reading",
                "sensor": SENSOR,
                "millidegrees": 3875,
                "taken_ms": 1386531300000,
            },
            {"id": wire_batch.identify(HEARTBEAT, DEVICE), "type": "heartbeat", "at_ms": 1386531300000},
        ],
    }


@given(st.lists(any_record, max_size=20))
def test_what_was_formatted_is_read_back(sent: list[AnyRecord]) -> None:
    sent_batch = batch(*sent)
    received = wire_batch.parse_content(wire_batch.format_content(DEVICE, sent_batch))

    assert received.device == DEVICE
    assert {item.id: item.record for item in received.items} == sent_batch


def test_the_largest_batch_fits_into_the_bound() -> None:
    largest = Pour(records.MAX_PIN, records.MAX_PULSES, records.MAX_ELAPSED_MS, records.LAST_MS)
    one = len(wire_batch.format_content(DEVICE, batch(largest)))

    assert one * wire_batch.MAX_RECORDS < wire_batch.MAX_CONTENT_BYTES


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"{}",
        b'{"device": 7, "records": []}',
        b'{"device": "x"}',
        b'{"device": "\\ud800", "records": []}',
        b'{"device": "front bar", "records": []}',
        b'{"device": "x", "records": {}}',
        b'{"device": "x", "records": [1]}',
        b'{"device": "x", "device": "y", "records": []}',
        b'{"device": "x", "records": [], "more": NaN}',
        b'{"device": "x", "records": [], "more": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"device": "x", "records": [{"id": "a"}, {"id": "a"}]}',
        '{"device": "x", "records": []}'.encode("utf-16"),
    ],
)
def test_what_is_not_this_protocol_blames_no_record(sent: bytes) -> None:
    with pytest.raises(ContentError):
        wire_batch.parse_content(sent.replace(b'"x"', f'"{DEVICE}"'.encode()))


def test_more_than_may_come_at_once_are_not_looked_at_one_by_one() -> None:
    sent = json.dumps({"device": DEVICE, "records": [{}] * (wire_batch.MAX_RECORDS + 1)}).encode()

    with pytest.raises(TooMuchError, match="501 records, 500 may come at once"):
        wire_batch.parse_content(sent)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,0123456789eE.-devicrods ', max_size=200).map(str.encode))
def test_any_bytes_are_a_content_or_one_error(sent: bytes) -> None:
    with contextlib.suppress(ContentError):
        wire_batch.parse_content(sent)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "growler"}, "type is 'growler', expected pour, reading or heartbeat"),
        ({"type": None}, "type is 'None', expected pour, reading or heartbeat"),
        ({"pin": None}, "pin is missing or no integer"),
        ({"pin": True}, "pin is missing or no integer"),
        ({"pulses": "586"}, "pulses is missing or no integer"),
        ({"elapsed_ms": 8123.0}, "elapsed_ms is missing or no integer"),
        ({"pin": 256}, "pin is 256, expected 0 to 255"),
        ({"type": "reading"}, "sensor is missing or no string"),
        (
            {"type": "reading", "sensor": "x", "millidegrees": 1, "taken_ms": NOW_MS},
            "sensor is 'x', expected a 1-Wire id such as 28-0316a2795c5b",
        ),
        (
            {"type": "heartbeat", "at_ms": 7},
            "at is 7 ms, a time before 2001: the line was torn or the clock was not set",
        ),
        ({"pulses": 587}, "id is not that of this record, which is ce087baaeee6898314d94327cd0c2501"),
    ],
)
def test_a_bad_record_is_a_verdict_of_its_own(changes: dict[str, Any], reason: str) -> None:
    (item,) = wire_batch.parse_content(content(**changes)).items

    assert item == Item(wire_batch.identify(POUR, DEVICE), None, reason)


def test_unknown_fields_are_ignored() -> None:
    (item,) = wire_batch.parse_content(content(colour="amber")).items

    assert item.record == POUR


@pytest.mark.parametrize("claimed", [None, 7, "", "x" * 65, "\ud800"])
def test_an_identity_that_cannot_be_repeated_is_left_out(claimed: Any) -> None:
    (item,) = wire_batch.parse_content(content(id=claimed)).items

    assert item.id is None
    assert item.record is None


def test_a_heartbeat_from_before_the_clock_was_set_is_none() -> None:
    with pytest.raises(RecordError):
        records.make_heartbeat(records.FIRST_MS - 1)
