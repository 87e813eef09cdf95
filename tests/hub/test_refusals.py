"""What the hub's log says of those whom it refuses."""

import itertools
import json
import ssl
import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import Request

from kegnet_client.core.errors import RecordError
from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.log_rate import LINES, REFUSED, LogRate
from kegnet_client.hub.refusals import MAX_SENDERS, MAX_TOLD, Refusals
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import Identity

TS = 1_700_000_000_000
FORM = "application/x-www-form-urlencoded"

Form = Callable[..., bytes]
Lines = Callable[[], list[str]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """What was told of refusals since the last time."""

    def take() -> list[str]:
        # Other hubs of this process may write meanwhile.
        told = [line for line in caplog.messages if " is refused: " in line or line.endswith(REFUSED)]
        caplog.clear()
        return told

    return take


@pytest.fixture
def fresh(
    make_home: Callable[[], Home], store: Store, start: Callable[..., str]
) -> Iterator[Callable[[str, bytes | dict[str, str]], int]]:
    """``fresh("/enroll", body)`` is what a hub that has refused nobody yet answers to it."""
    home = make_home()
    url = start(home, store)
    context = ssl.create_default_context(cafile=home.ca_certificate)
    with httpx.Client(base_url=url, verify=context, trust_env=False) as client:

        def post(path: str, body: bytes | dict[str, str]) -> int:
            if isinstance(body, bytes):
                return client.post(path, content=body, headers={"Content-Type": FORM}).status_code
            return client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"}).status_code

        yield post


Fresh = Callable[[str, bytes | dict[str, str]], int]


def test_a_device_that_does_not_arrive_is_told_once_for_each_reason(
    fresh: Fresh, lines: Lines, form: Form, store: Store, device_key: rsa.RSAPrivateKey, other_key: rsa.RSAPrivateKey
) -> None:
    tap = str(uuid.uuid4())
    fields = {"id": tap.upper(), "pin": 0, "pulses": 5, "et": 1, "ts": TS}
    good, forged = form("pour", **fields), form("pour", key=other_key, **fields)
    assert [fresh("/rest/v2/pour", good) for _ in range(3)] == [401] * 3
    assert lines() == [f"127.0.0.1, which says it is {tap}, is refused: {forms.NOT_REGISTERED}"]
    store.add_device(tap, device_key.public_key(), "tap", TS)
    assert [fresh("/rest/v2/pour", forged) for _ in range(3)] == [401] * 3
    assert lines() == [f"127.0.0.1, which says it is {tap}, is refused: the signature is not this device's"]
    store.revoke_device(tap, TS)
    assert [fresh("/rest/v2/pour", good) for _ in range(3)] == [401] * 3
    assert lines() == [f"127.0.0.1, which says it is {tap}, is refused: {forms.REVOKED}"]


def test_after_something_was_taken_the_same_is_news_again(
    fresh: Fresh, lines: Lines, form: Form, store: Store, device_key: rsa.RSAPrivateKey, other_key: rsa.RSAPrivateKey
) -> None:
    tap = str(uuid.uuid4())
    store.add_device(tap, device_key.public_key(), "tap", TS)
    fields = {"id": tap, "pin": 0, "pulses": 5, "et": 1, "ts": TS}
    strange = form("pour", **fields | {"id": str(uuid.uuid4())})
    for expected in (3, 2):  # what another device behind the same address is refused for is not
        for body in (form("pour", key=other_key, **fields), form("pour", **fields | {"pulses": 0}), strange) * 2:
            fresh("/rest/v2/pour", body)
        assert len(lines()) == expected
        assert fresh("/rest/v2/pour", form("pour", **fields)) == 200


def test_guessing_of_codes_is_told_and_the_guesses_are_not(
    fresh: Fresh, lines: Lines, device_key: rsa.RSAPrivateKey
) -> None:
    for guess in range(5):
        me = Identity(str(uuid.uuid4()), device_key)
        fields = {"code": f"{guess:032x}", "uuid": me.uuid, "request": me.certificate_request().decode()}
        assert fresh("/enroll", fields) == 401
    (line,) = lines()
    assert line.startswith("127.0.0.1 is refused: no such code was made here")


@pytest.mark.parametrize(
    ("path", "fields"),
    [("/rotate", ("device", "request", "signature")), ("/rotate/confirm", ("device", "fingerprint", "signature"))],
)
def test_a_change_of_key_that_is_refused_is_told(
    fresh: Fresh, lines: Lines, device_key: rsa.RSAPrivateKey, path: str, fields: tuple[str, ...]
) -> None:
    me = Identity(str(uuid.uuid4()), device_key)
    values = {"device": me.uuid, "request": me.certificate_request().decode(), "fingerprint": "", "signature": ""}
    assert fresh(path, {name: values[name] for name in fields}) == 401
    assert fresh(path, {name: values[name] for name in fields} | {"signature": "?"}) == 400
    claim = f"127.0.0.1, which says it is {me.uuid}, is refused: "
    assert lines() == [claim + forms.NOT_REGISTERED, claim + "signature is not base64"]


def request_from(host: str) -> Request:
    return Request({"type": "http", "client": (host, 1)})


def test_what_a_sender_writes_stays_in_one_line_and_short(lines: Lines) -> None:
    evil = "x\n10.0.0.1 is fine\x1b[2J\u2028" + "x" * 10_000
    Refusals(LogRate()).tell(request_from(evil), evil, RecordError(evil))
    (line,) = lines()
    assert line.isprintable()
    assert len(line) < 700


def test_whoever_makes_up_reasons_fills_no_log(lines: Lines) -> None:
    refusals = Refusals(LogRate())
    for number in range(1000):
        refusals.tell(request_from("10.0.0.1"), str(uuid.uuid4()), RecordError(f"number {number}"))
    told = lines()
    assert len(told) == MAX_TOLD
    assert told[-1].endswith("is not told any more")
    refusals.tell(request_from("10.0.0.2"), "", RecordError("another sender"))
    assert len(lines()) == 1


def test_the_sender_that_was_refused_longest_ago_is_forgotten_first(lines: Lines) -> None:
    minutes = itertools.count(0, 60)
    refusals = Refusals(LogRate(minutes.__next__))  # so that there is room for every line
    for number in range(MAX_SENDERS):
        refusals.tell(request_from(f"10.0.1.{number}"), "", RecordError("why"))
    refusals.tell(request_from("10.0.1.0"), "", RecordError("why"))
    refusals.tell(request_from("10.0.2.1"), "", RecordError("why"))
    assert len(lines()) == MAX_SENDERS + 1
    for known, last in enumerate(("10.0.1.1", "10.0.1.0")):
        refusals.tell(request_from(last), "", RecordError("why"))
        assert len(lines()) == 1 - known


def test_what_the_minute_had_no_room_for_is_told_in_the_next(lines: Lines) -> None:
    now_s = 0.0
    refusals = Refusals(LogRate(lambda: now_s))
    for number in range(1000):
        refusals.tell(request_from(f"10.0.{number // 250}.{number % 250}"), "", RecordError("why"))
    assert len(lines()) == LINES[REFUSED]
    now_s = 60.0
    refusals.tell(request_from("10.0.3.249"), "", RecordError("why"))
    assert lines() == [
        f"not told one by one in the last minute: {1000 - LINES[REFUSED]} requests refused",
        "10.0.3.249 is refused: why",
    ]
