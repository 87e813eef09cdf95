"""A pour, and what the hub takes from a request."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.hub.ingest import batch
from kegnet_client.hub.ingest.forms import Proven, SignedRequest
from kegnet_client.keys import normal_pem

from .batch import DEVICE, NOW_MS, POUR, MakeRecord, PrivateKey, Prove, Record


@pytest.fixture
def prove(device_key: rsa.RSAPrivateKey) -> Prove:
    """``prove(request)``: what the hub takes from it, if the device's key signed it."""

    def check(request: SignedRequest, *keys: PrivateKey, now_ms: int = NOW_MS) -> Proven:
        pems = [normal_pem(key.public_key()) for key in keys or (device_key,)]
        return batch.read_batch(request).prove(pems, now_ms)

    return check


@pytest.fixture
def pour(record: MakeRecord) -> Record:
    return record("pour", DEVICE, **POUR)
