"""The content of a REST v3 request, record by record, and what its answer means."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core import records
from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import Heartbeat, Pour, Reading
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire import batch as wire_batch
from kegnet_client.core.wire import forms
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.base_url import Version
from kegnet_client.core.wire.batch import ContentError, Item, TooMuchError

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
SENSOR = "28-0316a2795c5b"
URL = "https://hub.example/rest/v3/records"
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


# --- the answer ------------------------------------------------------------------------------------------------


DIGEST = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
IDS = ["a" * 32, "b" * 32, "c" * 32]
GOOD = {"request": DIGEST, "accepted": 3, "rejected": []}


def answer(status: int = 200, body: object = None, content_type: str = "application/json", **headers: str) -> Answer:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {"content-type": content_type, **headers}, sent)


def judge(given_answer: Answer, ids: Sequence[str] = IDS) -> list[Verdict]:
    return wire_batch.judge(given_answer, DIGEST, ids, URL, NOW_MS)


def dispositions(given_answer: Answer, ids: Sequence[str] = IDS) -> list[Disposition]:
    return [verdict.disposition for verdict in judge(given_answer, ids)]


def test_each_record_has_the_verdict_that_the_server_gave_it() -> None:
    items = [Item(identity, POUR) for identity in IDS]
    verdicts = judge(answer(body=wire_batch.format_verdicts(DIGEST, items, {1: "wrong id"})))

    assert [verdict.disposition for verdict in verdicts] == [
        Disposition.ACCEPTED,
        Disposition.REJECTED,
        Disposition.ACCEPTED,
    ]
    assert verdicts[1].reason == "the server says: wrong id"


@given(st.lists(st.booleans(), max_size=30))
def test_verdicts_come_back_as_they_were_given(good: list[bool]) -> None:
    ids = [f"{index:032x}" for index in range(len(good))]
    items = [Item(identity, None) for identity in ids]
    body = wire_batch.format_verdicts(DIGEST, items, {index: "no" for index, is_good in enumerate(good) if not is_good})

    expected = [Disposition.ACCEPTED if is_good else Disposition.REJECTED for is_good in good]
    assert dispositions(answer(body=body), ids) == expected


def test_a_rejected_record_without_an_identity_is_named_by_its_index() -> None:
    body = wire_batch.format_verdicts(DIGEST, [Item(None, None)], {0: "x" * 1000})

    assert json.loads(body) == {
        "request": DIGEST,
        "accepted": 0,
        "rejected": [{"index": 0, "reason": "x" * 200}],
    }
    assert dispositions(answer(body=body), IDS[:1]) == [Disposition.REJECTED]


def test_a_rejection_without_a_reason_is_one() -> None:
    (verdict,) = judge(answer(body={"request": DIGEST, "accepted": 0, "rejected": [{"index": 0}]}), IDS[:1])

    assert (verdict.disposition, verdict.reason) == (Disposition.REJECTED, "the server says: no reason")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome to our Wi-Fi</html>",
        b"\xff",
        b"[" * 100_000,
        [],
        3,
        {},
        {"accepted": 3},
        {"accepted": 2, "rejected": []},
        {"accepted": 4, "rejected": []},
        {"accepted": "3", "rejected": []},
        {"accepted": True, "rejected": [{"index": 0}, {"index": 1}]},
        {"accepted": 3, "rejected": 7},
        {"accepted": 2, "rejected": ["x"]},
        {"accepted": 2, "rejected": [{}]},
        {"accepted": 2, "rejected": [{"index": 3}]},
        {"accepted": 2, "rejected": [{"index": -1}]},
        {"accepted": 2, "rejected": [{"index": True}]},
        {"accepted": 1, "rejected": [{"index": 1}, {"index": 1}]},
        {"accepted": 2, "rejected": [{"index": 1, "id": IDS[0]}]},
    ],
)
def test_a_200_without_a_verdict_on_each_record_is_no_acknowledgement(body: object) -> None:
    bound = {"request": DIGEST, **body} if isinstance(body, dict) else body
    verdicts = judge(answer(body=bound))

    assert [verdict.disposition for verdict in verdicts] == [Disposition.DEFERRED] * 3
    assert "200 without a verdict on each record, which is no acknowledgement" in verdicts[0].reason


@pytest.mark.parametrize(
    "body",
    [
        b'{"request": "%b", "accepted": 0, "accepted": 3, "rejected": []}',
        b'{"request": "%b", "accepted": 3, "accepted": 3, "rejected": []}',
        b'{"request": "%b", "accepted": 3, "rejected": [{"index": 0}, {"index": 1}, {"index": 2}], "rejected": []}',
        b'{"request": "x", "request": "%b", "accepted": 3, "rejected": []}',
        b'{"request": "%b", "accepted": 2, "rejected": [{"index": 0, "index": 1}]}',
        b'{"request": "%b", "accepted": 3, "rejected": {}}',
        b'{"request": "%b", "accepted": 3, "rejected": ""}',
        b'{"request": "%b", "accepted": 3, "rejected": null}',
        b'{"request": "%b", "accepted": 3.0, "rejected": []}',
        b'{"request": "%b", "accepted": 3, "rejected": [], "error": null}',
        b'{"request": "%b", "accepted": 3, "rejected": [], "error": "disk full"}',
        b'{"request": "%b", "accepted": 3, "rejected": [], "more": NaN}',
        b'{"request": "%b", "accepted": 2, "rejected": [{"index": 1, "id": null}]}',
        b'{"request": "%b", "accepted": 2, "rejected": [{"index": 1, "reason": null}]}',
        b'{"request": "%b", "accepted": 2, "rejected": [{"index": 1, "reason": ["no"]}]}',
        b'{"request": "%b", "accepted": -1, "rejected": [{"index": 0}, {"index": 1}, {"index": 2}, {"index": 3}]}',
    ],
)
def test_verdicts_that_contradict_themselves_are_none(body: bytes) -> None:
    verdicts = judge(answer(body=body.replace(b"%b", DIGEST.encode())))

    assert [verdict.disposition for verdict in verdicts] == [Disposition.DEFERRED] * 3
    assert "no acknowledgement" in verdicts[0].reason


def test_an_answer_that_does_not_name_its_request_is_no_acknowledgement_and_says_what_to_do() -> None:
    (verdict,) = judge(answer(body={"accepted": 1, "rejected": []}), IDS[:1])

    assert verdict.disposition is Disposition.DEFERRED
    assert verdict.reason == "the server answered 200 without the request's digest, which is no acknowledgement; " + (
        "update the hub"
    )


@pytest.mark.parametrize("request_digest", [DIGEST[:-3] + "V=:", DIGEST.lower(), f"{DIGEST} ", "", None, [DIGEST], 0])
def test_the_answer_to_another_request_is_no_acknowledgement(request_digest: object) -> None:
    (verdict,) = judge(answer(body={"request": request_digest, "accepted": 1, "rejected": []}), IDS[:1])

    assert verdict.disposition is Disposition.DEFERRED
    assert verdict.reason == "the server answered 200 to another request, which is no acknowledgement"


_NAMES = st.sampled_from(["request", "accepted", "rejected", "error", "index", "id", "reason", "more"])
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats() | st.text(max_size=3) | st.sampled_from(IDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_MEMBERS = st.lists(
    st.tuples(_NAMES, _ANY)
    | st.sampled_from(
        [("request", DIGEST), ("accepted", 3), ("accepted", 2), ("rejected", []), ("rejected", [{"index": 1}])]
    ),
    max_size=5,
)


@given(_MEMBERS)
def test_only_one_good_reading_of_an_answer_takes_a_record_out_of_the_spool(members: list[tuple[str, Any]]) -> None:
    body = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members)
    verdicts = judge(answer(body=f"{{{body}}}".encode()))

    accepted = sum(verdict.disposition is Disposition.ACCEPTED for verdict in verdicts)
    rejected = sum(verdict.disposition is Disposition.REJECTED for verdict in verdicts)
    assert (accepted + rejected) in (0, 3)
    if accepted + rejected:
        said = dict(members)
        assert len(said) == len(members), "a name stands once"
        assert "error" not in said
        assert (said["request"], said["accepted"], len(said["rejected"])) == (DIGEST, accepted, rejected)
        assert {type(said["accepted"]), type(said["rejected"])} == {int, list}


def test_an_answer_that_is_not_json_by_its_name_is_no_acknowledgement() -> None:
    body = GOOD

    assert dispositions(answer(body=body, content_type="text/html")) == [Disposition.DEFERRED] * 3
    assert dispositions(answer(201, body)) == [Disposition.DEFERRED] * 3
    for spelling in ("application/json; charset=utf-8", "Application/JSON", "application/json ;charset=utf-8"):
        assert dispositions(answer(body=body, content_type=spelling)) == [Disposition.ACCEPTED] * 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 415, 422, 302, 410])
def test_no_status_rejects_a_record(status: int) -> None:
    verdicts = judge(answer(status, b"no"))

    assert {verdict.disposition for verdict in verdicts} == {Disposition.MISCONFIGURED}
    assert {verdict.code for verdict in verdicts} == {status}


def test_what_is_not_taken_for_this_protocol_names_the_setting_to_mend() -> None:
    reason = f"the server answered 422 to {URL}: it does not take this for REST v3; mend serviceBaseURL: who are you"

    assert judge(answer(422, b"who are you"))[0].reason == reason


@pytest.mark.parametrize("status", [413, 500, 503])
def test_what_may_be_the_fault_of_one_record_or_of_their_number_says_so(status: int) -> None:
    verdicts = judge(answer(status, b""))

    assert {verdict.disposition for verdict in verdicts} == {Disposition.DEFERRED}
    assert all(verdict.record_may_be_the_cause for verdict in verdicts)


def test_a_single_record_that_is_too_large_is_rejected() -> None:
    assert dispositions(answer(413, b""), IDS[:1]) == [Disposition.REJECTED]


def test_retry_after_is_obeyed() -> None:
    verdict = judge(answer(503, b"", **{"retry-after": "30"}))[0]

    assert (verdict.disposition, verdict.retry_after_s) == (Disposition.DEFERRED, 30.0)
    assert not verdict.record_may_be_the_cause


@given(st.integers(100, 599), st.binary(max_size=100), st.integers(1, 5))
def test_there_is_always_one_verdict_a_record(status: int, body: bytes, size: int) -> None:
    ids = [f"{index:032x}" for index in range(size)]

    assert len(judge(answer(status, body), ids)) == size
