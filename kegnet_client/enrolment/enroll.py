"""``kegnet-client enroll``: a device out of one line that the hub printed.

In this order: what is on this machine is checked; the hub's CA certificate is fetched and compared with the
code; the key is made; all files but client.conf are written; the hub, verified by that CA alone, takes the code
and the public key; client.conf takes its place. Whatever fails before that leaves nothing behind, here, and
nothing at the hub unless its answer was lost on the way, which is why it is asked up to `TRIES` times. Limits: a
power cut in between may leave files here, which the next run names.

With ``--replace`` this machine may be a device already: its key and its settings are kept aside, under names with
``.replaced``, and only once the hub has taken the new key. A code by which a device comes back brings that one's uuid.

Security: the certificate is fetched without verification, because there is nothing yet to verify with. Nothing
is sent on that connection but ``GET /ca.crt``, and what it brings is trusted only for having the SHA-256 that
stands in the code. The code's other half, the secret, goes out only after that. The private key goes nowhere.
"""

import hashlib
import hmac
import json
import shlex
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kegnet_client.config.parse import default_file, read, value_of
from kegnet_client.config.settings import AnySection
from kegnet_client.core.errors import ConfigError, ServerRefusalError, TransportError, UntrustedServerError, UsageError
from kegnet_client.core.wire import enrolment as wire
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.base_url import BaseUrl, parse_base_url
from kegnet_client.enrolment import provision
from kegnet_client.enrolment.hub_client import call, describe
from kegnet_client.host.clock import Clock
from kegnet_client.host.root import DEFAULT_ROOT
from kegnet_client.host.systemctl import UNIT, is_systemd_here
from kegnet_client.keys import Identity, generate_private_key, parse_identity
from kegnet_client.net.client import Transport
from kegnet_client.net.tls import context_for
from kegnet_client.sinks.kegnet_section import KEGNET
from kegnet_client.sinks.open import send_heartbeat
from kegnet_client.spool.directory import count_waiting
from kegnet_client.spool.fan_out import QUEUES
from kegnet_client.spool.section import SPOOL

TRIES = 3
PAUSE_S = 1.0


def enroll(
    root: Path,
    sections: Sequence[AnySection],
    url: str,
    code_text: str,
    environ: Mapping[str, str],
    pause: Callable[[float], None] = time.sleep,
    *,
    replace: bool = False,
    on_enrolled: Callable[[], None] = lambda: None,
) -> int:
    """Make the device in ``root`` one of the hub at ``url``, and say what to do next. Raises `KegnetError`.

    ``on_enrolled`` is called when it is one, whatever comes of its first exchange.
    """
    base = _parse_url(url)
    try:
        code = wire.parse_code(code_text)
    except ValueError as error:
        raise UsageError(f"CODE {error}") from None
    device = provision.draft(root, sections, base, "enroll", brings_ca=True, device=code.device, replaces=replace)
    settings = device.settings
    if replace:
        _refuse_waiting(device)
    else:
        provision.refuse_existing(settings.private_key, device.public_key)

    clock = Clock()
    hub = base.url.removesuffix(wire.SERVICE)
    ca = _fetch_ca(hub, code.ca_sha256, settings.deadline_s, clock)
    ca_files = provision.ca_to_write(device, ca, f"the CA of {hub}")
    key = generate_private_key()
    identity = parse_identity(settings.uuid, key, base.version, settings.private_key)
    transport = Transport(context_for(ca), settings.deadline_s, clock.wall_ms)
    names: list[str] = []
    try:
        provision.write(
            device,
            [(settings.private_key, key, 0o600), (device.public_key, identity.public_pem(), 0o644), *ca_files],
            lambda: names.append(_join(transport, hub, code.secret, identity, pause)),
        )
    finally:
        transport.close()
    on_enrolled()
    print(f"{names[0]} is enrolled at {hub} as {settings.uuid}; its settings are in {device.config.file}.")
    print(send_heartbeat(settings, clock, environ))
    is_service = is_systemd_here() and device.config.root == DEFAULT_ROOT
    places = "" if device.config.root == DEFAULT_ROOT else f"--root {shlex.quote(str(device.config.root))} "
    verb = "restart" if replace else "start"
    print(f"Next: {f'sudo systemctl {verb} {UNIT}' if is_service else f'kegnet-client {places}run'}")
    return 0


def is_enrolled(root: Path, url: str) -> bool:
    """Whether client.conf makes ``root`` a device of the hub at ``url`` already."""
    file = default_file(root)
    text = read(file) if file.exists() else ""
    has_uuid = value_of(text, KEGNET, "uuid") is not None
    return has_uuid and value_of(text, KEGNET, "base") == url.rstrip("/") + wire.SERVICE


def _refuse_waiting(device: provision.Draft) -> None:
    """`ConfigError` if records wait here that would be sent as another device's than the one that they are of."""
    spool = device.config.section(SPOOL).directory
    queues = [spool, *(spool / QUEUES).glob("*/")]
    waiting = sum(count_waiting(queue) for queue in queues if queue.is_dir())
    if waiting and device.uuid_before not in (None, device.settings.uuid):
        raise ConfigError(
            f"{spool}: {waiting} records of {device.uuid_before} wait here, and would be sent as another device's: "
            "deliver them (`kegnet-client send`), or move them away"
        )


def _parse_url(url: str) -> BaseUrl:
    how = "write it as the hub printed it: https://HOST:8443"
    try:
        base = parse_base_url(url.rstrip("/") + wire.SERVICE)
    except ValueError as error:
        raise UsageError(f"URL {url!r}: {error}; {how}") from None
    if not base.url.startswith("https:") or urlsplit(base.url).path != wire.SERVICE:
        raise UsageError(f"URL {url!r}: {how}")
    return base


def _fetch_ca(hub: str, sha256: bytes, deadline_s: float, clock: Clock) -> bytes:
    """The hub's CA certificate, alone and in our own spelling, proven by its hash."""
    transport = Transport(_believing_anyone(), deadline_s, clock.wall_ms)
    try:
        answer = transport.get(hub + wire.CA_PATH)
    except TransportError as error:
        raise type(error)(f"{hub}: {error}") from error
    finally:
        transport.close()
    try:
        # Of what came only the first certificate is judged, so only that one may be kept.
        certificate = x509.load_pem_x509_certificate(answer.body)
    except ValueError:
        certificate = None
    der = b"" if certificate is None else certificate.public_bytes(Encoding.DER)
    if certificate is None or not hmac.compare_digest(hashlib.sha256(der).digest(), sha256):
        raise UntrustedServerError(
            f"whoever answered at {hub} is not the hub that made this code, and was told nothing: "
            "see that the address and the code are as the hub printed them"
        )
    return certificate.public_bytes(Encoding.PEM)


def _believing_anyone() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _join(transport: Transport, hub: str, secret: str, identity: Identity, pause: Callable[[float], None]) -> str:
    """The name under which the hub has registered the device."""
    request = identity.certificate_request().decode("ascii")
    answer = _ask(
        lambda: call(transport.post, hub + wire.ENROL_PATH, code=secret, uuid=identity.uuid, request=request),
        hub,
        pause,
    )
    if answer.status == 401 or answer.status == 409:
        raise ServerRefusalError(f"{hub}: {describe(answer)}")
    if answer.status == 503:
        raise TransportError(f"{hub}: {describe(answer)}; run the same again")
    name = None
    if answer.status == 200:
        try:
            name = json.loads(answer.body)["name"]
        except (ValueError, TypeError, KeyError, RecursionError):
            name = None
    if not isinstance(name, str):
        raise ConfigError(f"{hub}: {describe(answer)}; that is no enrolment, nothing was written")
    return "".join(character if character.isprintable() else "?" for character in name)


def _ask(exchange: Callable[[], Answer], hub: str, pause: Callable[[float], None]) -> Answer:
    """An answer that was lost is asked for again: the hub takes the same request as often as it comes."""
    left = TRIES
    while True:
        left -= 1
        try:
            return exchange()
        except UntrustedServerError as error:
            raise UntrustedServerError(f"{hub}: {error}") from error
        except TransportError as error:
            if not left:
                raise TransportError(
                    f"{hub}: {error}; run the same again, and if the code was used by then, ask for another"
                ) from error
        pause(PAUSE_S)
