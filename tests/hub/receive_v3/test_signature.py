"""What a REST v3 request must be for the hub to trust it."""

import base64
import hashlib
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kegnet_client.hub.ingest.forms import RefusedError
from kegnet_client.keys import key_fingerprint, normal_pem

from .batch import DEVICE, OTHER, POUR, MakeBatch, MakeRecord, PrivateKey, Prove, Record, as_received


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
            assert prove(request, key).key_fingerprint == key_fingerprint(normal_pem(key.public_key()))
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
