"""What the hub takes from a REST v3 request that it trusts."""

import gzip
import json
import tracemalloc
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.core.records import Heartbeat, Pour, Reading
from kegnet_client.core.wire import batch as wire_batch
from kegnet_client.core.wire.batch import ContentError, TooMuchError

from .batch import DEVICE, POUR, TS, MakeBatch, MakeRecord, Prove, Record, as_received


@pytest.mark.parametrize("pack", [False, True])
def test_each_kind_of_record_is_taken_under_its_id(
    batch: MakeBatch, record: MakeRecord, prove: Prove, pack: bool
) -> None:
    records = [
        record("pour", DEVICE, **POUR),
        record("reading", DEVICE, sensor="28-0316a2795c5b", millidegrees=-500, taken_ms=TS),
        record("heartbeat", DEVICE, at_ms=TS),
    ]
    request = as_received(*batch(DEVICE, records, pack=pack))
    proven = prove(request)
    assert [content for _, content in proven.records] == [
        Pour(0, 586, 8123, TS),
        Reading("28-0316a2795c5b", -500, TS),
        Heartbeat(TS),
    ]
    assert [record_id for record_id, _ in proven.records] == [one["id"] for one in records]
    assert json.loads(proven.verdicts) == {"request": request.content_digest, "accepted": 3, "rejected": []}


def test_a_pour_is_the_same_record_over_v2(batch: MakeBatch, pour: Record, prove: Prove, claim: MakeRecord) -> None:
    ((record_id, content),) = prove(as_received(*batch(DEVICE, [pour]))).records
    over_v2 = claim("pour", id=DEVICE.upper(), pin=0, pulses=586, et=8123, ts=TS)
    assert (record_id, content) == (over_v2.record_id, over_v2.content)  # type: ignore[attr-defined]  # a Claim


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"device": 1, "records": []}',
        b'{"device": "%s"}' % DEVICE.encode(),
        b'{"device": "%s", "records": {}}' % DEVICE.encode(),
        b'{"device": "%s", "records": [1]}' % DEVICE.encode(),
        b'{"device": "%s", "records": [], "records": []}' % DEVICE.encode(),
        b'{"device": "%s", "records": [{"id": "a", "id": "b"}]}' % DEVICE.encode(),
        b'{"device": "%s", "records": [{"id": "a"}, {"id": "a"}]}' % DEVICE.encode(),
        b'{"device": "%s", "records": [], "x": NaN}' % DEVICE.encode(),
        b'{"device": "%s", "records": [], "x": -Infinity}' % DEVICE.encode(),
        b'{"device": "%s", "records": [], "x": %s}' % (DEVICE.encode(), b"9" * 5000),
        b'{"device": "%s", "records": [], "x": %s%s}' % (DEVICE.encode(), b"[" * 100_000, b"]" * 100_000),
        '{"device": "x", "records": []}'.encode("utf-16"),
    ],
)
@pytest.mark.parametrize("pack", [False, True])
def test_what_is_not_this_protocol_is_so_as_a_whole(batch: MakeBatch, prove: Prove, content: bytes, pack: bool) -> None:
    with pytest.raises(ContentError):
        prove(as_received(*batch(DEVICE, content, pack=pack)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": "0" * 32}, "id is not"),
        ({"id": None}, "id is not"),
        ({"id": 7}, "id is not"),
        ({"type": "keg"}, "type is"),
        ({"type": ["pour"]}, "type is"),
        ({"pulses": 0}, "pulses is 0"),
        ({"pulses": "586"}, "no integer"),
        ({"pulses": 586.0}, "no integer"),
        ({"pulses": True}, "no integer"),
        ({"pulses": 10**4000}, "pulses is 1000"),
        ({"started_ms": 5}, "before 2001"),
        ({"pin": 256}, "pin is 256"),
        ({"pin": None}, "no integer"),
    ],
)
def test_a_bad_record_gets_its_verdict_and_the_others_are_taken(
    batch: MakeBatch, record: MakeRecord, prove: Prove, changes: dict[str, object], reason: str
) -> None:
    good = [record("pour", DEVICE, **{**POUR, "pin": pin}) for pin in (1, 2)]
    bad = {name: value for name, value in {**record("pour", DEVICE, **POUR), **changes}.items() if value is not None}
    proven = prove(as_received(*batch(DEVICE, [good[0], bad, good[1]])))
    assert [record_id for record_id, _ in proven.records] == [one["id"] for one in good]
    verdicts = json.loads(proven.verdicts)
    (rejection,) = verdicts["rejected"]
    assert verdicts["accepted"] == 2
    assert rejection["index"] == 1
    assert reason in rejection["reason"]
    assert ("id" in rejection) == isinstance(bad.get("id"), str)


def test_what_a_record_holds_beside_its_fields_is_ignored(batch: MakeBatch, pour: Record, prove: Prove) -> None:
    assert prove(as_received(*batch(DEVICE, [{**pour, "flavour": {"hops": [1.5, None]}}]))).records


def many(record: MakeRecord, count: int) -> list[Record]:
    return [record("pour", DEVICE, pin=0, pulses=1 + n, elapsed_ms=1, started_ms=TS) for n in range(count)]


def test_five_hundred_records_are_taken_and_one_more_is_too_many(
    batch: MakeBatch, record: MakeRecord, prove: Prove
) -> None:
    assert len(prove(as_received(*batch(DEVICE, many(record, 500), pack=True))).records) == 500
    with pytest.raises(TooMuchError):
        prove(as_received(*batch(DEVICE, many(record, 501), pack=True)))


def test_a_bomb_is_unpacked_to_the_bound_and_no_further(
    batch: MakeBatch, prove: Prove, device_key: rsa.RSAPrivateKey
) -> None:
    exact = b'{"device": "%s", "records": [] ' % DEVICE.encode()
    exact += b" " * (wire_batch.MAX_CONTENT_BYTES - len(exact) - 1) + b"}"
    assert prove(as_received(*batch(DEVICE, exact, pack=True))).records == ()
    bomb = as_received(*batch(DEVICE, b" " * (100 << 20), pack=True))
    assert len(bomb.content) < wire_batch.MAX_CONTENT_BYTES
    tracemalloc.start()
    with pytest.raises(TooMuchError):
        prove(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * wire_batch.MAX_CONTENT_BYTES


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: b"",
        lambda packed: packed[:20],
        lambda packed: packed[:-1],
        lambda packed: packed[1:],
        lambda packed: packed + b"x",
        lambda packed: packed + packed,
        gzip.decompress,
    ],
)
def test_what_is_not_one_whole_gzip_is_not_this_protocol(
    batch: MakeBatch, pour: Record, prove: Prove, damage: Callable[[bytes], bytes]
) -> None:
    packed = gzip.compress(json.dumps({"device": DEVICE, "records": [pour]}).encode())
    with pytest.raises(ContentError):
        prove(as_received(*batch(DEVICE, damage(packed), encoding="gzip")))
