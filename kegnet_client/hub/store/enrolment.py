"""How a device gets into the hub's database without anyone copying files, and how it changes its key.

Joining: `invite` keeps the SHA-256 of a secret that is shown once; `enrol` takes the secret for one device,
within its time, once. A device that never saw its answer asks the same again and is told the same.

Coming back: an invitation that ``replaces`` a device lets that uuid in, and no other, with another key, which is its
only one from then on; it is not revoked any more. Its name, its taps and all that it sent go by its uuid, and stay.
Making one takes the operator's word; another one for the same device, and a revocation, cancel it.

Changing the key: `rotate` takes a new key on the word of one that is in force, and both are in force from then
on; `confirm` takes the new one's word that it is in use, and the old one is not in force any more. A device has
at most two keys. Each step may be repeated, and one that was begun and forgotten is replaced by the next.

Security: what a request claims is checked in the transaction that acts on it, behind a lock on the code or the
device, so that two of them at once cannot both use a code and a revocation counts at once.
"""

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from sqlalchemy import Connection, select, update

from kegnet_client.core.errors import ConfigError, KegnetError, RecordError
from kegnet_client.core.wire import enrolment
from kegnet_client.core.wire.forms import is_uuid
from kegnet_client.hub.ingest import forms
from kegnet_client.hub.ingest.forms import RefusedError
from kegnet_client.hub.store import database, devices, schema
from kegnet_client.hub.store.records import Store
from kegnet_client.keys import PublicKey, is_signed, key_fingerprint, load_public_key, load_registered, normal_pem

MAX_BODY_BYTES = 16 * 1024
"""A certificate request for RSA-4096 has 1.7 KB, its signature a third of that."""

_ASK = "ask for a new one (`kegnet-client hub invite`)"


class KnownError(KegnetError):
    """This uuid is registered already: enrol as a new device."""

    exit_code = 64


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request that its own key has signed. ``device`` is a lower-case uuid."""

    device: str
    key: PublicKey
    pem: str


def read_request(device: str, pem: str) -> Request:
    """The certificate request ``pem`` of the device ``device``; `RecordError` says what is wrong with it."""
    if not is_uuid(device):
        raise RecordError(f"{device[:40]!r} is not a UUID")
    try:
        request = x509.load_pem_x509_csr(pem.encode("ascii"))
        key = load_public_key(
            request.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        names = [str(one.value).lower() for one in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        is_own = request.is_signature_valid
    except ConfigError as error:
        raise RecordError(f"request: {error}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise RecordError("request is not a certificate request in PEM that the hub can read") from None
    if not is_own:
        raise RecordError("request is not signed with its own key")
    if names != [device.lower()]:
        raise RecordError("request must have the device's uuid as its only CN")
    return Request(device.lower(), key, pem)


def invite(store: Store, name: str | None, expires_ms: int) -> bytes:
    """A new secret that enrols one device, called ``name``, before ``expires_ms``."""
    return store.write(lambda connection: make_invitation(connection, name, expires_ms))


def make_invitation(connection: Connection, name: str | None, expires_ms: int, replaces: str | None = None) -> bytes:
    """As `invite`, in a transaction that is there; or for the device ``replaces`` to come back."""
    if replaces is not None:
        devices.cancel_replacements(connection, replaces)
    secret = secrets.token_bytes(enrolment.SECRET_BYTES)
    row = {
        "secret_sha256": enrolment.hash_secret(enrolment.format_secret(secret)),
        "name": name,
        "expires_ms": expires_ms,
        "replaces": replaces,
    }
    database.insert_new(connection, schema.invitations, row)
    return secret


@dataclass(frozen=True, slots=True)
class Invitation:
    """A code that was made, without its secret, by whose hash it is known."""

    secret_sha256: str
    name: str | None
    expires_ms: int
    replaces: str | None


def read_open(connection: Connection, now_ms: int) -> list[Invitation]:
    """The invitations that could be used now, the one that expires first first."""
    table = schema.invitations.c
    statement = select(table.secret_sha256, table.name, table.expires_ms, table.replaces).where(
        table.used_ms.is_(None), table.expires_ms > now_ms
    )
    return [Invitation(*row) for row in connection.execute(statement.order_by(table.expires_ms, table.secret_sha256))]


def cancel(connection: Connection, secret_sha256: str, now_ms: int) -> None:
    """Let this invitation enrol nobody any more; one that was used stays as it is."""
    table = schema.invitations
    is_it = (table.c.secret_sha256 == secret_sha256) & table.c.used_ms.is_(None) & (table.c.expires_ms > now_ms)
    connection.execute(update(table).where(is_it).values(expires_ms=now_ms))


def enrol(store: Store, secret: str, request: Request, now_ms: int) -> str:
    """Register the device with the key in ``request``; its name. `RefusedError` says what is wrong with the code."""
    # Found by its hash, so that how long the search takes says nothing about any secret.
    secret_sha256 = enrolment.hash_secret(secret)
    pem = normal_pem(request.key)
    fingerprint = key_fingerprint(pem)

    def work(connection: Connection) -> str:
        table = schema.invitations
        is_it = table.c.secret_sha256 == secret_sha256
        row = connection.execute(select(table).where(is_it).with_for_update()).first()
        if row is None:
            raise RefusedError(f"no such code was made here: paste it whole, or {_ASK}")
        if row.used_ms is not None:
            return _name_if_the_same(connection, row.device, request.device, fingerprint)
        if now_ms >= row.expires_ms:
            raise RefusedError(f"the code has expired: {_ASK}")
        if row.replaces is not None:
            return come_back(connection, row.replaces)
        name = str(row.name or request.device.partition("-")[0])
        if not devices.register(connection, request.device, name, fingerprint, pem, now_ms):
            raise KnownError(
                f"{request.device} is registered already, and the code is still good: take a new uuid, or let it come "
                "back by `kegnet-client hub invite --replace`"
            )
        use(connection)
        return name

    def come_back(connection: Connection, replaced: str) -> str:
        if request.device != replaced:
            raise RefusedError("the code is for another device to come back: run the command as the hub printed it")
        use(connection)  # before it would be cancelled with the others for this device
        return devices.replace_key(connection, replaced, fingerprint, pem, now_ms)

    def use(connection: Connection) -> None:
        is_it = schema.invitations.c.secret_sha256 == secret_sha256
        connection.execute(update(schema.invitations).where(is_it).values(used_ms=now_ms, device=request.device))

    return store.write(work)


def rotate(store: Store, request: Request, signature: str, now_ms: int) -> str:
    """Put the key in ``request`` in force beside the device's own, one of which signed this; the device's name."""
    proof = _decode(signature)
    signed = enrolment.rotation_bytes(request.pem)
    pem = normal_pem(request.key)
    new = key_fingerprint(pem)

    def work(connection: Connection) -> str:
        device = _device(connection, request.device)
        keys = _keys(connection, device)
        signer = next((key for key, known in keys.items() if is_signed(known, proof, signed)), None)
        if signer is None:
            raise RefusedError("the signature is not this device's")
        if new == signer:
            raise RecordError("the new key is the one that signed this: make another")
        devices.add_key(connection, request.device, new, pem, now_ms)
        # One that was announced and signs this is in use: it takes the place of the one before it.
        _set_keys(connection, request.device, key=signer, next_key=new)
        return str(device.name)

    return store.write(work)


def confirm(store: Store, device_id: str, fingerprint: str, signature: str) -> str:
    """Leave the key with ``fingerprint``, which signed this, as the device's only one; the device's name."""
    proof = _decode(signature)
    signed = enrolment.confirmation_bytes(device_id, fingerprint)
    if not is_uuid(device_id):
        raise RecordError(f"{device_id[:40]!r} is not a UUID")

    def work(connection: Connection) -> str:
        device = _device(connection, device_id.lower())
        key = _keys(connection, device).get(fingerprint)
        if key is None:
            raise RefusedError("this device has no such key: announce it first (`kegnet-client rotate-key`)")
        if not is_signed(key, proof, signed):
            raise RefusedError("the signature is not that of the new key")
        if fingerprint == device.next_key:
            _set_keys(connection, device.uuid, key=fingerprint, next_key=None)
        elif device.next_key is not None:
            raise RefusedError("this key is in force, and another one is announced: confirm that one")
        return str(device.name)

    return store.write(work)


def _name_if_the_same(connection: Connection, enrolled: str, device: str, fingerprint: str) -> str:
    used = RefusedError(f"the code was used already: {_ASK}")
    if enrolled != device:
        raise used
    row = _device(connection, enrolled)
    if row.key != fingerprint:
        raise used
    return str(row.name)


def _device(connection: Connection, uuid: str) -> Any:
    row = connection.execute(select(schema.devices).where(schema.devices.c.uuid == uuid).with_for_update()).first()
    if row is None:
        raise RefusedError(forms.NOT_REGISTERED)
    if row.revoked_ms is not None:
        raise RefusedError(forms.REVOKED)
    return row


def _keys(connection: Connection, device: Any) -> dict[str, PublicKey]:
    """The keys of the row ``device``, by their fingerprints."""
    table = schema.keys
    names = [name for name in (device.key, device.next_key) if name is not None]
    rows = connection.execute(select(table).where(table.c.fingerprint.in_(names)))
    return {row.fingerprint: load_registered(row.pem) for row in rows}


def _set_keys(connection: Connection, uuid: str, *, key: str, next_key: str | None) -> None:
    table = schema.devices
    connection.execute(update(table).where(table.c.uuid == uuid).values(key=key, next_key=next_key))


def _decode(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise RecordError("signature is not base64") from None
