"""From a configuration to something that sends."""

import functools
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path

from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.core.records import Heartbeat
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.answer import quote
from kegnet_client.core.wire.base_url import Version
from kegnet_client.host.boot import boot_mark
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.keys import Identity, load_identity
from kegnet_client.net.client import Transport
from kegnet_client.net.tls import client_context
from kegnet_client.sinks.address_report import AddressReport, find_address
from kegnet_client.sinks.base import OpenSink
from kegnet_client.sinks.kegnet_forms import KegnetForms
from kegnet_client.sinks.kegnet_section import KegNetSettings

_log = logging.getLogger(__name__)

CREDENTIAL = "privkey.pem"
"""What the unit calls the key in systemd's credentials directory, where it goes before the configured one."""


def find_identity(settings: KegNetSettings, environ: Mapping[str, str]) -> Identity:
    """The configured device with its key. Raises `ConfigError`."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    credentials = Path(directory) if directory else None
    if credentials and (credentials / CREDENTIAL).exists():
        return load_identity(settings.uuid, credentials / CREDENTIAL, settings.base.version, credentials)
    return load_identity(settings.uuid, settings.private_key, settings.base.version)


def server_context(settings: KegNetSettings) -> ssl.SSLContext | None:
    """What the configured server has to prove, None for plain http. Raises `ConfigError`."""
    return client_context(settings.ca_bundle) if settings.base.url.startswith("https:") else None


def reach(settings: KegNetSettings, clock: Clock) -> Transport:
    """The way to the configured server, unused yet. Raises `ConfigError`."""
    return Transport(server_context(settings), settings.deadline_s, clock.wall_ms)


def connect(settings: KegNetSettings, clock: Clock, identity: Identity) -> OpenSink:
    """Opens connections that sign as ``identity`` and send to the configured server. Raises `ConfigError` at once."""
    base = settings.base
    context = server_context(settings)

    def transport() -> Transport:
        return Transport(context, settings.deadline_s, clock.wall_ms)

    if base.version is not Version.V3:
        find = functools.partial(find_address, base.host, base.port)
        addresses = AddressReport(find, clock) if base.version is Version.V2 else None
        return lambda: KegnetForms(settings.uuid, identity.sign, base, transport(), clock.wall_ms, addresses)
    # Late, because of what it imports.
    from kegnet_client.sinks.kegnet_batch import KegnetBatch

    boot = boot_mark(identity.uuid)
    warned = Condition(_log)

    def on_warning(text: str | None) -> None:
        if text is None:
            warned.end(f"{base.host} has nothing more to say against this device")
        else:
            warned.begin(f"{base.host}{quote(text.encode('utf-8', 'replace'))}")

    return lambda: KegnetBatch(identity, base, transport(), clock.wall_ms, boot, on_warning)


def send_heartbeat(settings: KegNetSettings, clock: Clock, environ: Mapping[str, str]) -> str:
    """One signed exchange; what came of it. Raises `KegnetError`."""
    sink = connect(settings, clock, find_identity(settings, environ))()
    try:
        (verdict,) = sink.send([Heartbeat(clock.wall_ms())])
    finally:
        sink.close()
    if verdict.disposition is Disposition.ACCEPTED:
        return f"{settings.base.url} took a heartbeat from {settings.uuid}"
    refused = verdict.disposition is Disposition.MISCONFIGURED
    raise (UntrustedServerError if refused else TransportError)(f"{settings.base.url}: {verdict.reason}")
