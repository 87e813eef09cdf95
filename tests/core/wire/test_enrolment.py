"""The code that joins a device to a hub, and the bytes that change its key, pinned."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.wire import enrolment

SECRET = bytes(range(16))
CODE = enrolment.format_code(b"a certificate", SECRET)


def test_the_code_is_what_the_documentation_says() -> None:
    assert CODE.startswith("kegnet_")
    data = base64.urlsafe_b64decode(CODE.removeprefix("kegnet_"))
    assert data == hashlib.sha256(b"a certificate").digest() + SECRET
    assert (
        enrolment.hash_secret("000102030405060708090a0b0c0d0e0f") == hashlib.sha256(SECRET.hex().encode()).hexdigest()
    )


@given(st.binary(), st.binary(min_size=16, max_size=16))
def test_a_code_comes_apart_into_what_it_was_made_of(certificate: bytes, secret: bytes) -> None:
    code = enrolment.parse_code(enrolment.format_code(certificate, secret))
    assert code == enrolment.Code(hashlib.sha256(certificate).digest(), enrolment.format_secret(secret))


def test_the_secret_is_not_shown_by_accident() -> None:
    assert SECRET.hex() not in repr(enrolment.parse_code(CODE))


@pytest.mark.parametrize(
    "text", ["", "kegnet_", CODE[:-1], CODE + "A", CODE[7:], " " + CODE, CODE + "\n", CODE[:-1] + "=", CODE[:-1] + "ä"]
)
def test_what_is_not_a_whole_code_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="paste it whole"):
        enrolment.parse_code(text)


def test_what_is_signed_cannot_be_taken_for_a_record_or_for_each_other() -> None:
    assert enrolment.rotation_bytes("PEM\n") == b"kegnet-rotate-key,PEM\n"
    assert enrolment.confirmation_bytes("uuid", "ff") == b"kegnet-confirm-key,uuid,ff"


def test_no_text_that_json_can_hold_breaks_it() -> None:
    assert enrolment.hash_secret("\ud800")
    assert enrolment.rotation_bytes("\ud800")
    assert enrolment.confirmation_bytes("\ud800", "\ud800")
