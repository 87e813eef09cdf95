"""Pours to signed requests, as barely as it goes: what the floor does for each, and the hub's load in advance.

Written from the protocols' descriptions, not from this program's modules, which are what is measured.
"""

import base64
import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

BATCH = 500
COMPRESSED_FROM_BYTES = 1024
FASTEST = 1
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_FIELDS = ("pin", "pulses", "elapsed_ms", "started_ms")

Sign = Callable[[bytes], str]
Request = tuple[str, dict[str, str], bytes]
"""Path, headers, body."""


def read(path: str) -> str:
    """A small file."""
    fd = os.open(path, os.O_RDONLY)
    text = os.read(fd, 4096).decode()
    os.close(fd)
    return text


def signer(key_path: str) -> Sign:
    """What signs with the RSA key in the file, to base64."""
    key = load_pem_private_key(read(key_path).encode(), None)
    assert isinstance(key, RSAPrivateKey)
    padding, digest = PKCS1v15(), SHA256()
    return lambda data: base64.b64encode(key.sign(data, padding, digest)).decode()


def v2_request(device: str, line: str, sign: Sign) -> Request:
    """One pour, given as its spool file's line."""
    pin, pulses, elapsed, started = line.split(",")
    signature = sign(f"{device},{line}".encode())
    form = {"id": device, "pin": pin, "pulses": pulses, "et": elapsed, "ts": started, "sig": signature}
    return "/rest/v2/pour", _FORM, urlencode(form).encode()


def v3_request(device: str, lines: Sequence[str], sign: Sign) -> Request:
    """Many pours in one."""
    records = []
    for line in lines:
        identity = hashlib.sha256(f"{device},{line}".encode()).digest()[:16].hex()
        values = zip(_FIELDS, map(int, line.split(",")), strict=True)
        records.append({"id": identity, "type": "pour", **dict(values)})
    content = json.dumps({"device": device, "records": records}, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json"}
    if len(content) > COMPRESSED_FROM_BYTES:
        content = gzip.compress(content, FASTEST, mtime=0)
        headers["Content-Encoding"] = "gzip"
    headers["Content-Digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    covered = {"@method": "POST", "@path": "/rest/v3/records"} | {name.lower(): headers[name] for name in headers}
    components = " ".join(f'"{name}"' for name in covered)
    parameters = f'({components});created={int(time.time())};keyid="{device}";alg="rsa-v1_5-sha256";tag="kegnet-v3"'
    base = "".join(f'"{name}": {value}\n' for name, value in covered.items())
    signature = sign(f'{base}"@signature-params": {parameters}'.encode())
    headers |= {"Signature-Input": f"kegnet={parameters}", "Signature": f"kegnet=:{signature}:"}
    return "/rest/v3/records", headers, content


def influxdb_request(device: str, lines: Sequence[str]) -> Request:
    """Pours in the line protocol of InfluxDB, unsigned."""
    points = []
    for line in lines:
        pin, pulses, elapsed, started = line.split(",")
        points.append(f"pours,device={device},pin={pin} pulses={pulses}i,elapsed_ms={elapsed}i {started}")
    return "/write?db=kegnet&precision=ms", {"Content-Type": "text/plain"}, "\n".join(points).encode()
