"""What a request must be for the hub to trust it."""

import base64
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core import records
from kegnet_client.core.errors import ConfigError, RecordError
from kegnet_client.core.records import Heartbeat, Pour
from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.ingest.forms import Address, NamelessReading, RefusedError
from kegnet_client.keys import key_kind, load_public_key, normal_pem

UUID = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQD33CunqUQtEAyvgrNkKpW8YrdI
8kPojl/61f3IRLXOwbE3o1FieIz0O+he8UGjuNmdOs1cNOxor/JEwSlec316Mrri
UJqD2VgAdxHmIO7cYTh/0nKlfppNSUX5QX8ndDEuuHfLIJCo2FkAlp6fO/dhowfd
XbvyGtFD90Jg8s5rNQIDAQAB
-----END PUBLIC KEY-----
"""
SIGNATURE = (
    "IDQ5pUkCUSkCmWzdpYqT3UBvmxn5+BK7LLWhsLMdqtF//eU8AkEoZH2I9xJucKIqvMlvJFxMd+/3IAFhWIIEFx1TVARUixbcFCSAow8/VLo21M"
    "RMtWb8FkBCfuvjwBN+5Sy85h5OUEIf1sPmNiEmPAXhjWu4q2Ua8O5WPJHw+9M="
)
POUR = {"id": UUID, "pin": "0", "pulses": "586", "et": "8123", "ts": "1386531209417"}

Form = Callable[..., bytes]


def body(fields: dict[str, str]) -> bytes:
    return urlencode({"sig": "", **fields}).encode()


def pem_of(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | dsa.DSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_the_references_worked_example_is_believed() -> None:
    claim = forms.read_claim("pour", Version.V2, body({**POUR, "sig": SIGNATURE}))
    proven = forms.authenticate(claim, PUBLIC_KEY)
    assert claim.proof.text == b"3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54,0,586,8123,1386531209417"
    assert claim.record_id == "bc72a1b19c3581e96ce2e0d46bafba78"
    assert dict(proven.records)[claim.record_id] == Pour(0, 586, 8123, 1386531209417)


@pytest.mark.parametrize("field", POUR)
def test_a_changed_field_is_not_what_was_signed(field: str) -> None:
    changed = {**POUR, field: POUR[field][:-1] + "2", "sig": SIGNATURE} | ({"pin": "1"} if field == "pin" else {})
    claim = forms.read_claim("pour", Version.V2, body(changed))
    with pytest.raises(RefusedError):
        forms.authenticate(claim, PUBLIC_KEY)


def test_signature_bytes_of_any_length_are_refused_and_no_crash() -> None:
    for length in (0, 1, 127, 128, 129, 3000):
        sig = base64.b64encode(b"\xff" * length).decode()
        with pytest.raises(RefusedError):
            forms.authenticate(forms.read_claim("pour", Version.V2, body({**POUR, "sig": sig})), PUBLIC_KEY)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()])
def test_v1_and_v2_are_signed_with_rsa_and_nothing_else(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    claim = forms.read_claim("pour", Version.V2, body({**POUR, "sig": SIGNATURE}))
    with pytest.raises(RefusedError, match="RSA"):
        forms.authenticate(claim, normal_pem(key.public_key()))


def test_seconds_of_v1_are_kept_as_milliseconds() -> None:
    fields = {"id": UUID, "pin": "0", "pulses": "586", "et": "8", "ts": "1372686435"}
    claim = forms.read_claim("pour", Version.V1, body(fields))
    assert claim.content == Pour(0, 586, 8000, 1372686435000)
    assert claim.proof.text == f"{UUID},0,586,8,1372686435".encode()


def test_a_record_is_the_same_in_both_versions_and_in_any_case_of_its_device() -> None:
    old = forms.read_claim("pour", Version.V1, body({**POUR, "et": "8", "ts": "1386531209"}))
    new = forms.read_claim("pour", Version.V2, body({**POUR, "id": UUID.upper(), "et": "8000", "ts": "1386531209000"}))
    assert (old.device, old.record_id) == (new.device, new.record_id)
    assert new.proof.text.startswith(UUID.upper().encode())


def test_minus_one_is_a_sign_of_life_and_no_temperature() -> None:
    ping = {"id": UUID, "temp": "-1", "ts": "1386531300000"}
    assert forms.read_claim("ping", Version.V2, body(ping)).content == Heartbeat(1386531300000)


@pytest.mark.parametrize("temperature", [0, -55000, 125000, 3875, -62])
def test_a_ping_holds_a_temperature(temperature: int) -> None:
    ping = {"id": UUID, "temp": str(temperature), "ts": "1386531300"}
    assert forms.read_claim("ping", Version.V1, body(ping)).content == NamelessReading(temperature, 1386531300000)


def test_an_ip_call_holds_an_address() -> None:
    call = {"id": UUID, "ip": "192.168.1.57", "ts": "1386531300000"}
    assert forms.read_claim("ip", Version.V2, body(call)).content == Address("192.168.1.57", 1386531300000)


@pytest.mark.parametrize(
    ("call", "change"),
    [
        ("pour", {"id": "tap-one"}),
        ("pour", {"id": UUID + "\n"}),
        ("pour", {"pin": "256"}),
        ("pour", {"pin": "-1"}),
        ("pour", {"pin": "٣"}),
        ("pour", {"pulses": "0"}),
        ("pour", {"pulses": "2147483648"}),
        ("pour", {"pulses": "1e3"}),
        ("pour", {"pulses": "007"}),
        ("pour", {"et": "86400001"}),
        ("pour", {"et": ""}),
        ("pour", {"ts": "1386531209"}),
        ("pour", {"ts": "9" * 19}),
        ("pour", {"ts": "9" * 5000}),
        ("pour", {"sig": "not base64!"}),
        ("ping", {"temp": "125001"}),
        ("ping", {"temp": "-55001"}),
        ("ping", {"temp": "3.875"}),
        ("ping", {"temp": "-0"}),
        ("ping", {"ts": "0"}),
        ("ping", {"ts": "4102444800000"}),
        ("ip", {"ip": "kegerator.local"}),
        ("ip", {"ip": "::1"}),
        ("ip", {"ip": "1.2.3.4,5"}),
        ("ip", {"ip": "010.0.0.1"}),
    ],
)
def test_what_is_out_of_bounds_is_the_senders_fault(call: str, change: dict[str, str]) -> None:
    fields = {"id": UUID, "temp": "3875", "ip": "10.0.0.1", **POUR, **change}
    with pytest.raises(RecordError):
        forms.read_claim(call, Version.V2, body(fields))


@given(st.binary(max_size=300), st.sampled_from(forms.CALLS), st.sampled_from(forms.VERSIONS))
def test_no_body_does_anything_but_fail_cleanly(data: bytes, call: str, version: Version) -> None:
    with pytest.raises(RecordError):
        forms.read_claim(call, version, data)


@given(
    st.dictionaries(
        st.sampled_from(["id", "pin", "pulses", "et", "ts", "temp", "ip", "sig", "x"]),
        st.one_of(st.text(max_size=30), st.integers().map(str), st.just(UUID)),
    ),
    st.sampled_from(forms.CALLS),
    st.sampled_from(forms.VERSIONS),
)
def test_whatever_is_taken_is_within_bounds(fields: dict[str, str], call: str, version: Version) -> None:
    try:
        claim = forms.read_claim(call, version, urlencode(fields).encode())
    except RecordError:
        return
    if isinstance(claim.content, Pour):
        records.make_pour(claim.content.pin, claim.content.pulses, claim.content.elapsed_ms, claim.content.started_ms)
    assert claim.device == fields["id"].lower()


@given(
    st.integers(0, records.MAX_PIN),
    st.integers(1, records.MAX_PULSES),
    st.integers(0, records.MAX_ELAPSED_MS),
    st.integers(records.FIRST_MS, records.LAST_MS),
)
def test_every_pour_within_bounds_comes_through_and_can_be_read_again(pin: int, pulses: int, et: int, ts: int) -> None:
    fields = {"id": UUID, "pin": str(pin), "pulses": str(pulses), "et": str(et), "ts": str(ts)}
    claim = forms.read_claim("pour", Version.V2, body(fields))
    assert claim.content == Pour(pin, pulses, et, ts)
    assert forms.reread_claim("pour", Version.V2, claim.proof.text, claim.proof.signature) == claim


def test_stored_bytes_with_too_few_fields_are_no_record() -> None:
    with pytest.raises(RecordError, match="fields"):
        forms.reread_claim("pour", Version.V2, b"a,b", b"")


def test_registered_are_rsa_p256_and_ed25519() -> None:
    keys = (
        rsa.generate_private_key(65537, 2048).public_key(),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    )
    assert [key_kind(load_public_key(pem_of(key))) for key in keys] == ["RSA-2048", "P-256", "Ed25519"]


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        (PUBLIC_KEY.encode(), "1024 bits"),
        (pem_of(ec.generate_private_key(ec.SECP384R1()).public_key()), "kind"),
        (pem_of(dsa.generate_private_key(1024).public_key()), "kind"),  # noqa: S505 (refused, and soon made)
        (b"", "no public key"),
        (b"\xff\x00", "no public key"),
        (b"-----BEGIN PRIVATE KEY-----\n", "private key"),
    ],
    ids=["weak", "P-384", "DSA", "empty", "garbage", "private"],
)
def test_other_keys_are_not_registered(pem: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_public_key(pem)
