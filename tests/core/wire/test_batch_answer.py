"""What the answer to a REST v3 request means for each of its records."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.records import Pour
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire import batch as wire_batch
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.batch import Item

URL = "https://hub.example/rest/v3/records"
NOW_MS = 1_795_219_200_000
POUR = Pour(0, 586, 8123, 1386531209417)
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
    reason = f"the server answered 422 to {URL}: it does not take this for REST v3; fix serviceBaseURL: who are you"

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
