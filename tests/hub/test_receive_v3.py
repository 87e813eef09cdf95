"""What a REST v3 request must be for the hub to believe it, and what it then takes from it."""

import base64
import gzip
import hashlib
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from http_message_signatures import InvalidSignature

from kegnet_client.core import rest_v3
from kegnet_client.core.records import Heartbeat, Pour
from kegnet_client.core.rest_v3 import ContentError, TooMuchError
from kegnet_client.hub import receive, receive_v3
from kegnet_client.hub.receive import Proven, RefusedError, SignedRequest, Temperature
from kegnet_client.hub.receive_v3 import Message, Verifier

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
OTHER = "11111111-2222-4333-8444-555555555555"
TS = 1_700_000_000_000
NOW_MS = TS + 1000
POUR = {"pin": 0, "pulses": 586, "elapsed_ms": 8123, "started_ms": TS}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Record = dict[str, object]
MakeBatch = Callable[..., tuple[dict[str, str], bytes]]
MakeRecord = Callable[..., Record]


def as_received(headers: dict[str, str], content: bytes, path: str = "/rest/v3/records") -> SignedRequest:
    return SignedRequest(
        path=path,
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding"),
        content_digest=headers.get("content-digest", ""),
        signature_input=headers.get("signature-input", ""),
        signature=headers.get("signature", ""),
        content=content,
    )


@pytest.fixture
def prove(device_key: rsa.RSAPrivateKey) -> Callable[..., Proven]:
    """``prove(request)``: what the hub takes from it, if the device's key signed it."""

    def check(request: SignedRequest, *keys: PrivateKey, now_ms: int = NOW_MS) -> Proven:
        pems = [receive.normal_pem(key.public_key()) for key in keys or (device_key,)]
        return receive_v3.read_batch(request).prove(pems, now_ms)

    return check


Prove = Callable[..., Proven]


@pytest.fixture
def pour(record: MakeRecord) -> Record:
    return record("pour", DEVICE, **POUR)


@pytest.mark.parametrize("pack", [False, True])
def test_each_kind_of_record_is_taken_under_its_id(
    batch: MakeBatch, record: MakeRecord, prove: Prove, pack: bool
) -> None:
    records = [
        record("pour", DEVICE, **POUR),
        record("reading", DEVICE, sensor="28-0316a2795c5b", millidegrees=-500, taken_ms=TS),
        record("heartbeat", DEVICE, at_ms=TS),
    ]
    proven = prove(as_received(*batch(DEVICE, records, pack=pack)))
    assert [content for _, content in proven.records] == [
        Pour(0, 586, 8123, TS),
        Temperature(-500, TS, "28-0316a2795c5b"),
        Heartbeat(TS),
    ]
    assert [record_id for record_id, _ in proven.records] == [one["id"] for one in records]
    assert json.loads(proven.verdicts) == {"accepted": 3, "rejected": []}


def test_a_pour_is_the_same_record_over_v2(batch: MakeBatch, pour: Record, prove: Prove, claim: MakeRecord) -> None:
    ((record_id, content),) = prove(as_received(*batch(DEVICE, [pour]))).records
    over_v2 = claim("pour", id=DEVICE.upper(), pin=0, pulses=586, et=8123, ts=TS)
    assert (record_id, content) == (over_v2.record_id, over_v2.content)  # type: ignore[attr-defined]  # a Claim


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
def test_every_kind_of_key_that_is_registered_can_sign(
    batch: MakeBatch, pour: Record, prove: Prove, device_key: rsa.RSAPrivateKey, kind: str
) -> None:
    keys: dict[str, PrivateKey] = {
        "rsa": device_key,
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    request = as_received(*batch(DEVICE, [pour], key=keys[kind]))
    for name, key in keys.items():
        if name == kind:
            assert prove(request, key).key_fingerprint == receive.fingerprint(receive.normal_pem(key.public_key()))
        else:
            with pytest.raises(RefusedError):
                prove(request, key)
    others = [key for name, key in keys.items() if name != kind]
    assert prove(request, others[0], keys[kind]).records


@pytest.mark.parametrize("field", ["path", "content_type", "content_digest", "signature", "signature_input", "content"])
def test_whatever_is_changed_on_the_way_is_refused(batch: MakeBatch, pour: Record, prove: Prove, field: str) -> None:
    request = as_received(*batch(DEVICE, [pour]))
    changed = {
        "path": "/rest/v3/record",
        "content_type": "application/json; charset=utf-8",
        "content_digest": request.content_digest.replace("sha-256=:", "sha-256=:A"),
        "signature": request.signature.replace("=:", "=:A", 1),
        "signature_input": request.signature_input.replace("1700000000", "1700000001"),
        "content": request.content.replace(b"586", b"999"),
    }
    assert prove(request).records
    with pytest.raises(RefusedError):
        prove(replace(request, **{field: changed[field]}))  # type: ignore[arg-type]  # each has its field's type


def test_a_changed_digest_is_refused_although_it_fits_the_content(batch: MakeBatch, pour: Record, prove: Prove) -> None:
    request = as_received(*batch(DEVICE, [pour]))
    content = request.content.replace(b"586", b"999")
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    with pytest.raises(RefusedError):
        prove(replace(request, content=content, content_digest=digest))


def test_an_encoding_that_is_taken_away_or_added_is_refused(batch: MakeBatch, pour: Record, prove: Prove) -> None:
    with pytest.raises(RefusedError):
        prove(replace(as_received(*batch(DEVICE, [pour], pack=True)), content_encoding=None))
    with pytest.raises(RefusedError):
        prove(replace(as_received(*batch(DEVICE, [pour])), content_encoding="gzip"))


@pytest.mark.parametrize("name", ["@method", "@path", "content-type", "content-encoding", "content-digest"])
def test_a_component_that_is_not_covered_is_refused(batch: MakeBatch, pour: Record, prove: Prove, name: str) -> None:
    with pytest.raises(RefusedError, match=r"not covered|requires a signed"):
        prove(as_received(*batch(DEVICE, [pour], pack=True, drop=name)))


@pytest.mark.parametrize("name", ["content-digest", "signature", "signature-input"])
def test_a_header_that_is_missing_is_refused(batch: MakeBatch, pour: Record, prove: Prove, name: str) -> None:
    headers, content = batch(DEVICE, [pour])
    del headers[name]
    with pytest.raises(RefusedError):
        prove(as_received(headers, content))


PARAMETERS = ';created=1700000000;keyid="{device}";tag="kegnet-v3"'


@pytest.mark.parametrize(
    "parameters",
    [
        PARAMETERS.replace("kegnet-v3", "kegnet-v4"),
        PARAMETERS.replace(';tag="kegnet-v3"', ""),
        PARAMETERS.replace(";created=1700000000", ""),
        PARAMETERS.replace("1700000000", '"1700000000"'),
        PARAMETERS + ';alg="hmac-sha256"',
        PARAMETERS + ';alg="ed25519"',
        PARAMETERS + ';alg="rsa-pss-sha512"',
        PARAMETERS + ";expires=1700000000",
        PARAMETERS + ";novelty=1",
        PARAMETERS.replace("{device}", OTHER),
        PARAMETERS.replace("{device}", DEVICE.upper()),
        PARAMETERS.replace(';keyid="{device}"', ""),
    ],
)
def test_parameters_that_are_not_rest_v3s_are_refused(
    batch: MakeBatch, pour: Record, prove: Prove, parameters: str
) -> None:
    with pytest.raises(RefusedError):
        prove(as_received(*batch(DEVICE, [pour], parameters=parameters.replace("{device}", DEVICE))))


@pytest.mark.parametrize("created", [0, 1, 1_700_000_000, 4_102_444_800, 999_999_999_999_999])
@pytest.mark.parametrize("more", ["", ';alg="rsa-v1_5-sha256"', ";expires=1700000002", ';nonce="x"'])
def test_created_may_be_any_time(batch: MakeBatch, pour: Record, prove: Prove, created: int, more: str) -> None:
    parameters = f';created={created};keyid="{DEVICE}";tag="kegnet-v3"{more}'
    assert prove(as_received(*batch(DEVICE, [pour], parameters=parameters))).records


def test_another_label_is_not_looked_at(batch: MakeBatch, pour: Record, prove: Prove) -> None:
    headers, content = batch(DEVICE, [pour])
    beside = {
        **headers,
        "signature-input": f'other=("@method");created=1;keyid="x", {headers["signature-input"]}',
        "signature": f"other=:AAAA:, {headers['signature']}",
    }
    assert prove(as_received(beside, content)).records
    renamed = {name: value.replace("kegnet=", "pegnet=", 1) for name, value in headers.items()}
    with pytest.raises(RefusedError):
        prove(as_received(renamed, content))


@pytest.mark.parametrize("also", [{"@authority": "hub"}, {"x-shop": "1"}])
def test_a_signature_over_more_than_is_kept_is_refused(
    batch: MakeBatch, pour: Record, prove: Prove, also: dict[str, str]
) -> None:
    with pytest.raises(RefusedError, match=r"covers more|not found"):
        prove(as_received(*batch(DEVICE, [pour], also=also)))


def test_a_content_of_another_device_is_refused(batch: MakeBatch, record: MakeRecord, prove: Prove) -> None:
    content = json.dumps({"device": OTHER, "records": [record("pour", OTHER, **POUR)]}).encode()
    with pytest.raises(RefusedError, match="another device"):
        prove(as_received(*batch(DEVICE, content)))


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
    exact += b" " * (rest_v3.MAX_CONTENT_BYTES - len(exact) - 1) + b"}"
    assert prove(as_received(*batch(DEVICE, exact, pack=True))).records == ()
    bomb = as_received(*batch(DEVICE, b" " * (100 << 20), pack=True))
    assert len(bomb.content) < rest_v3.MAX_CONTENT_BYTES
    tracemalloc.start()
    with pytest.raises(TooMuchError):
        prove(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * rest_v3.MAX_CONTENT_BYTES


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


RFC_KEYS = {
    "test-key-rsa": """-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAhAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrw
WEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFq
MGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd/QBwVW9OwNFhekro3RtlinV0a75jfZg
kne/YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0P
uKxI4T+HIaFpv8+rdV6eUgOrB2xeI1dSFFn/nnv5OoZJEIB+VmuKn3DCUcCZSFlQ
PSXSfBDiUGhwOw76WuSSsf1D4b/vLoJ10wIDAQAB
-----END RSA PUBLIC KEY-----
""",
    "test-key-ecc-p256": """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----
""",
    "test-key-ed25519": """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
""",
}
RFC_CONTENT = b'{"hello": "world"}'
RFC_HEADERS = {
    "Content-Type": "application/json",
    "Content-Digest": (
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
    ),
    "Content-Length": "18",
}
RFC_B_2_6 = Message(
    "POST",
    "https://example.com/foo?param=Value&Pet=dog",
    {
        **RFC_HEADERS,
        "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "Signature-Input": (
            'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"'
        ),
        "Signature": (
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
        ),
    },
)
RFC_4_3 = Message(
    "POST",
    "https://origin.host.internal.example/foo?param=Value&Pet=dog",
    {**RFC_HEADERS, "Forwarded": "for=192.0.2.123;host=example.com;proto=https"},
)
RFC_4_3_CLIENT = {
    "Signature-Input": (
        'sig1=("@method" "@authority" "@path" "content-digest" "content-type" "content-length")'
        ';created=1618884475;keyid="test-key-ecc-p256"'
    ),
    "Signature": "sig1=:X5spyd6CFnAG5QnDyHfqoSNICd+BUP4LYMz2Q0JXlb//4Ijpzp+kve2w4NIyqeAuM7jTDX+sNalzA8ESSaHD3A==:",
}
RFC_4_3_PROXY = {
    "Signature-Input": (
        'proxy_sig=("@method" "@authority" "@path" "content-digest" "content-type" "content-length" "forwarded")'
        ';created=1618884480;keyid="test-key-rsa";alg="rsa-v1_5-sha256";expires=1618884540'
    ),
    "Signature": (
        "proxy_sig=:S6ZzPXSdAMOPjN/6KXfXWNO/f7V6cHm7BXYUh3YD/fRad4BCaRZxP+JH+8XY1I6+8Cy+CM5g92iHgxtRPz+MjniOaYmd"
        "kDcnL9cCpXJleXsOckpURl49GwiyUpZ10KHgOEe11sx3G2gxI8S0jnxQB+Pu68U9vVcasqOWAEObtNKKZd8tSFu7LB5YAv0RAGhB8tmp"
        "v7sFnIm9y+7X5kXQfi8NMaZaA8i2ZHwpBdg7a6CMfwnnrtflzvZdXAsD3LH2TwevU+/PBPv0B6NMNk93wUs/vfJvye+YuI87HU38lZHo"
        "wtznbLVdp770I6VHR6WfgS9ddzirrswsE1w5o0LV/g==:"
    ),
}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("test-key-ed25519", RFC_B_2_6),
        (
            "test-key-ecc-p256",
            replace(RFC_4_3, url="https://example.com/foo", headers={**RFC_4_3.headers, **RFC_4_3_CLIENT}),
        ),
        ("test-key-rsa", replace(RFC_4_3, headers={**RFC_4_3.headers, **RFC_4_3_PROXY})),
    ],
    ids=["ed25519", "p256", "rsa"],
)
def test_the_standards_own_requests_are_believed(key: str, message: Message) -> None:
    verifier = Verifier(key, RFC_KEYS[key], 1618884500_000)
    (result,) = verifier.verify(message, max_age=None)
    assert result.parameters["keyid"] == key
    if "content-digest" in message.headers["Signature-Input"]:
        assert verifier.verify(message, max_age=None, body=RFC_CONTENT)
        with pytest.raises(InvalidSignature):
            verifier.verify(message, max_age=None, body=RFC_CONTENT + b" ")
    with pytest.raises(InvalidSignature):
        verifier.verify(replace(message, method="PUT"), max_age=None)
    with pytest.raises(InvalidSignature):
        verifier.verify(replace(message, url=message.url.replace("/foo", "/bar")), max_age=None)


def test_what_has_expired_was_good_before() -> None:
    message = replace(RFC_4_3, headers={**RFC_4_3.headers, **RFC_4_3_PROXY})
    assert Verifier("test-key-rsa", RFC_KEYS["test-key-rsa"], 1618884540_000).verify(message, max_age=None)
    with pytest.raises(InvalidSignature, match="expired"):
        Verifier("test-key-rsa", RFC_KEYS["test-key-rsa"], 1618884540_001).verify(message, max_age=None)
