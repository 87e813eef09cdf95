"""REST v1 and v2 to the byte, the worked example first."""

import base64
import hashlib
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import example, given
from hypothesis import strategies as st

from kegnet_client.core.errors import RecordError
from kegnet_client.core.records import Heartbeat, Pour, Reading, parse
from kegnet_client.core.wire.base_url import BaseUrl, Version, parse_base_url
from kegnet_client.core.wire.forms import SIGNED_FIELDS, Call, address_call, call_for, is_uuid, read_call, record_id

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
POUR = Pour(0, 586, 8123, 1_386_531_209_417)
READING = Reading("28-0316a2795c5b", 3875, 1_386_531_300_000)

PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQD33CunqUQtEAyvgrNkKpW8YrdI
8kPojl/61f3IRLXOwbE3o1FieIz0O+he8UGjuNmdOs1cNOxor/JEwSlec316Mrri
UJqD2VgAdxHmIO7cYTh/0nKlfppNSUX5QX8ndDEuuHfLIJCo2FkAlp6fO/dhowfd
XbvyGtFD90Jg8s5rNQIDAQAB
-----END PUBLIC KEY-----
"""
SIGNATURE = base64.b64decode(
    "IDQ5pUkCUSkCmWzdpYqT3UBvmxn5+BK7LLWhsLMdqtF//eU8AkEoZH2I9xJucKIqvMlvJFxMd+/3IAFhWIIEFx1TVARUixbcFCSAow8/"
    "VLo21MRMtWb8FkBCfuvjwBN+5Sy85h5OUEIf1sPmNiEmPAXhjWu4q2Ua8O5WPJHw+9M="
)
BODY = (
    b"id=3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54&pin=0&pulses=586&et=8123&ts=1386531209417"
    b"&sig=IDQ5pUkCUSkCmWzdpYqT3UBvmxn5%2BBK7LLWhsLMdqtF%2F%2FeU8AkEoZH2I9xJucKIqvMlvJFxMd%2B%2F3IAFhWIIEFx1TVARUixb"
    b"cFCSAow8%2FVLo21MRMtWb8FkBCfuvjwBN%2B5Sy85h5OUEIf1sPmNiEmPAXhjWu4q2Ua8O5WPJHw%2B9M%3D"
)


# --- the worked example ----------------------------------------------------------------------------------------


def test_the_worked_example_s_pour_comes_out_to_the_byte() -> None:
    record = parse("01386531209417.pour", b"0,586,8123,1386531209417")
    assert isinstance(record, Pour)
    call = call_for(record, DEVICE, Version.V2)

    assert call.name == "pour"
    assert call.canonical_string == b"3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54,0,586,8123,1386531209417"
    assert len(call.canonical_string) == 61
    assert (
        hashlib.sha256(call.canonical_string).hexdigest()
        == "bc72a1b19c3581e96ce2e0d46bafba7870303a73a9ee9ee4f67be566edea9255"
    )
    assert call.body(SIGNATURE) == BODY


@pytest.mark.parametrize(
    ("call", "canonical", "digest"),
    [
        (
            call_for(READING, DEVICE, Version.V2),
            b"3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54,3875,1386531300000",
            "3893bc562bb0bab4e046479e5f39c54a5ea0e1156a367cd13846c7f32a4688e4",
        ),
        (
            Call("ip", (("id", DEVICE), ("ip", "192.168.1.57"), ("ts", "1386531300000"))),
            b"3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54,192.168.1.57,1386531300000",
            "d4f5971ba4f4ed595f178ba099853a5bc37fdc8f23610c09707acad899c26f24",
        ),
    ],
)
def test_the_worked_example_s_ping_and_ip_come_out_to_the_byte(call: Call, canonical: bytes, digest: str) -> None:
    assert call.canonical_string == canonical
    assert hashlib.sha256(call.canonical_string).hexdigest() == digest


@pytest.mark.parametrize("value", ["fe80::1", "a b&c=d", "100%", "\u0663", ""])
def test_a_value_that_is_no_number_is_quoted_as_forms_are(value: str) -> None:
    fields = (("id", DEVICE), ("ip", value), ("ts", "1386531300000"))

    assert Call("ip", fields).body(b"\xfb\xff") == urlencode([*fields, ("sig", "+/8=")]).encode()


def test_the_worked_example_s_signature_is_over_our_canonical_string() -> None:
    key = load_pem_public_key(PUBLIC_KEY)
    assert isinstance(key, rsa.RSAPublicKey)
    signed = call_for(POUR, DEVICE, Version.V2).canonical_string

    key.verify(SIGNATURE, signed, padding.PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        key.verify(SIGNATURE, signed + b"\n", padding.PKCS1v15(), SHA256())


def test_openssl_verifies_the_worked_example(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(PUBLIC_KEY)
    (tmp_path / "sig").write_bytes(SIGNATURE)
    (tmp_path / "signed").write_bytes(call_for(POUR, DEVICE, Version.V2).canonical_string)

    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "signed"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "Verified OK\n")


# --- calls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "version", "canonical"),
    [
        (POUR, Version.V1, f"{DEVICE},0,586,8,1386531209"),
        (Pour(3, 1, 999, 1_386_531_209_999), Version.V1, f"{DEVICE},3,1,0,1386531209"),
        (READING, Version.V1, f"{DEVICE},3875,1386531300"),
        (Reading("28-0316a2795c5b", -500, 1_386_531_300_999), Version.V1, f"{DEVICE},-500,1386531300"),
        (Reading("28-0316a2795c5b", -500, 1_386_531_300_999), Version.V2, f"{DEVICE},-500,1386531300999"),
        (Reading("28-0316a2795c5b", 0, 1_386_531_300_000), Version.V2, f"{DEVICE},0,1386531300000"),
        (Heartbeat(1_386_531_300_999), Version.V1, f"{DEVICE},-1,1386531300"),
        (Heartbeat(1_386_531_300_999), Version.V2, f"{DEVICE},-1,1386531300999"),
    ],
)
def test_v1_has_whole_seconds_by_floor_and_v2_milliseconds(
    record: Pour | Reading | Heartbeat, version: Version, canonical: str
) -> None:
    assert call_for(record, DEVICE, version).canonical_string.decode() == canonical


def test_the_device_is_named_as_it_was_configured() -> None:
    assert call_for(POUR, DEVICE.upper(), Version.V2).canonical_string.startswith(DEVICE.upper().encode())


calls = st.sampled_from(sorted(SIGNED_FIELDS)).flatmap(
    lambda name: st.builds(
        Call,
        st.just(name),
        st.tuples(*(st.tuples(st.just(field), st.text(max_size=40)) for field in SIGNED_FIELDS[name])),
    )
)


@given(calls, st.binary(max_size=512))
def test_what_was_signed_is_what_is_sent(call: Call, signature: bytes) -> None:
    body = call.body(signature)

    assert read_call(call.name, body) == (call, signature)
    assert body.isascii()


@given(calls, st.binary(min_size=1, max_size=256))
def test_any_form_reader_finds_the_signed_values(call: Call, signature: bytes) -> None:
    form = parse_qs(call.body(signature).decode(), keep_blank_values=True)

    signed = ",".join(form[field][0] for field in SIGNED_FIELDS[call.name])
    assert signed.encode() == call.canonical_string
    assert base64.b64decode(form["sig"][0]) == signature


def test_the_order_of_the_fields_in_the_body_does_not_matter() -> None:
    call, signature = read_call("pour", b"&".join(reversed(BODY.split(b"&"))))

    assert call == call_for(POUR, DEVICE, Version.V2)
    assert signature == SIGNATURE


def test_a_field_that_nobody_signed_is_left_out() -> None:
    call, _ = read_call("pour", BODY + b"&admin=1")

    assert call == call_for(POUR, DEVICE, Version.V2)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "expected the fields id, temp, ts, sig, each once"),
        (b"id=a&temp=1&ts=2", "each once"),
        (b"id=a&temp=1&ts=2&sig=AAAA&ts=3", "each once"),
        (b"id=a&temp=1&ts=2&sig=AAAA&x=1&x=2", "each once"),
        (b"id=a&temp=1&ts=2&sig=AA+A", "sig is not base64"),
        (b"id=a&temp=1&ts=2&sig=AAA", "sig is not base64"),
        (b"id=a&temp=1&ts=2&sig=%C3%A9AAA", "sig is not base64"),
        (b"id=a&temp=1&ts=2&sig=AA%0AAA", "sig is not base64"),
        (b"id=a&temp", "the body is not a form"),
        (b"id=%FF&temp=1&ts=2&sig=AAAA", "the body is not a form"),
        (b"id=\xff&temp=1&ts=2&sig=AAAA", "the body is not a form"),
        (b"&".join(b"f%d=1" % number for number in range(17)), "the body is not a form"),
        (b'{"id": "a"}', "the body is not a form"),
    ],
)
def test_a_body_that_is_no_call_says_why(body: bytes, what: str) -> None:
    with pytest.raises(RecordError) as raised:
        read_call("ping", body)
    assert what in str(raised.value)


@given(st.binary(max_size=300))
def test_whatever_the_body_it_is_a_call_or_a_record_error(body: bytes) -> None:
    try:
        call, _ = read_call("pour", body)
    except RecordError:
        return
    assert call.canonical_string.count(b",") >= 4


def test_a_record_s_identity_follows_from_what_was_signed() -> None:
    signed = call_for(POUR, DEVICE, Version.V2).canonical_string

    assert record_id(signed) == "bc72a1b19c3581e96ce2e0d46bafba78"
    assert record_id(signed) != record_id(signed + b"1")


# --- settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (
            "https://www.kegnetwork.com/rest/v2",
            BaseUrl("https://www.kegnetwork.com/rest/v2", "www.kegnetwork.com", 443, Version.V2),
        ),
        ("https://pi.local:8443/rest/v1/", BaseUrl("https://pi.local:8443/rest/v1", "pi.local", 8443, Version.V1)),
        ("https://h/keg/rest/v2", BaseUrl("https://h/keg/rest/v2", "h", 443, Version.V2)),
        ("https://[2001:db8::1]/rest/v2", BaseUrl("https://[2001:db8::1]/rest/v2", "2001:db8::1", 443, Version.V2)),
        ("http://localhost:8000/rest/v2", BaseUrl("http://localhost:8000/rest/v2", "localhost", 8000, Version.V2)),
        ("http://127.0.0.1/rest/v2", BaseUrl("http://127.0.0.1/rest/v2", "127.0.0.1", 80, Version.V2)),
        ("http://[::1]:80/rest/v2", BaseUrl("http://[::1]:80/rest/v2", "::1", 80, Version.V2)),
    ],
)
def test_a_base_url_names_the_server_and_the_protocol(text: str, url: BaseUrl) -> None:
    assert parse_base_url(text) == url


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "write it as https://HOST/rest/v3"),
        ("www.kegnetwork.com/rest/v2", "write it as"),
        ("ftp://h/rest/v2", "write it as"),
        ("https:///rest/v2", "write it as"),
        ("https://[::1/rest/v2", "its host cannot be read"),
        ("https://ex\u2100mple/rest/v2", "its host cannot be read"),
        ("https://h:0/rest/v2", "its port is not a number from 1 to 65535"),
        ("https://h:65536/rest/v2", "its port"),
        ("https://h:https/rest/v2", "its port"),
        ("https://user@h/rest/v2", "nothing else"),
        ("https://@h/rest/v2", "nothing else"),
        ("https://h/rest/v2?x=1", "nothing else"),
        ("https://h/rest/v2?", "nothing else"),
        ("https://h/rest/v2#x", "nothing else"),
        ("https://h/rest/v2#", "nothing else"),
        ("https://h/my keg/rest/v2", "nothing else"),
        ("https://h/rest\t/v2", "nothing else"),
        (" https://h/rest/v2", "nothing else"),
        ("https://h/rest/v2\n", "nothing else"),
        ("https://h/rest/v9", "it must end in /rest/v1, /rest/v2 or /rest/v3"),
        ("https://h/rest", "it must end in"),
        ("https://h", "it must end in"),
        ("https://h/v2", "it must end in"),
        ("http://www.kegnetwork.com/rest/v2", "http is not encrypted"),
        ("http://192.168.1.5/rest/v2", "http is not encrypted"),
        ("http://localhost.example.com/rest/v2", "http is not encrypted"),
    ],
)
def test_a_base_url_that_cannot_be_used_says_what_to_write(text: str, what: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the message is looked at below)
        parse_base_url(text)
    assert what in str(raised.value)


@given(st.text(max_size=40))
@example("//[")
@example("https://[v1.x]/rest/v2")
def test_whatever_the_base_url_it_is_taken_apart_or_a_value_error(text: str) -> None:
    for url in (text, f"https://{text}/rest/v2", f"http://{text}/rest/v1"):
        try:
            taken = parse_base_url(url)
        except ValueError:
            continue
        assert taken.url.endswith(f"/rest/{taken.version.value}")
        assert 0 < taken.port <= 65535


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (DEVICE, True),
        (DEVICE.upper(), True),
        ("", False),
        (DEVICE.replace("-", ""), False),
        (f"{{{DEVICE}}}", False),
        (f"urn:uuid:{DEVICE}", False),
        (f"{DEVICE}\n", False),
        (DEVICE[:-1] + "g", False),
        (DEVICE[:-1] + "٣", False),
    ],
)
def test_a_uuid_has_its_usual_spelling(text: str, valid: bool) -> None:
    assert is_uuid(text) is valid


@pytest.mark.parametrize("scheme", ["HTTPS", "Https", "https"])
def test_the_scheme_is_the_same_however_it_is_spelled(scheme: str) -> None:
    assert parse_base_url(f"{scheme}://Hub.example/rest/v2").url == "https://Hub.example/rest/v2"


@pytest.mark.parametrize("host", ["a..b", ".example", "*.example", "x" * 64 + ".example"])
def test_what_can_be_no_host_is_refused_at_the_start(host: str) -> None:
    with pytest.raises(ValueError, match="can be no host's name; write it as"):
        parse_base_url(f"https://{host}/rest/v2")


def test_the_address_of_a_device_is_told_with_its_time() -> None:
    fields = (("id", DEVICE), ("ip", "192.168.1.57"), ("ts", "1386531300000"))
    assert address_call("192.168.1.57", 1_386_531_300_000, DEVICE) == Call("ip", fields)
