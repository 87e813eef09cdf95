"""From a configuration to something that sends: what ``run``, ``send`` and ``check`` have in common."""

from collections.abc import Mapping
from pathlib import Path

from kegnet_client.clock import Clock
from kegnet_client.config import Config
from kegnet_client.identity import Identity, load_identity
from kegnet_client.sender import Sender
from kegnet_client.transport import Transport
from kegnet_client.trust import client_context

CREDENTIAL = "privkey.pem"
"""What the unit calls the key in systemd's credentials directory, where it goes before the configured one."""


def find_identity(settings: Config, environ: Mapping[str, str]) -> Identity:
    """The configured device with its key. Raises `ConfigError`."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    credentials = Path(directory) if directory else None
    if credentials and (credentials / CREDENTIAL).exists():
        return load_identity(settings.uuid, credentials / CREDENTIAL, settings.base.version, credentials)
    return load_identity(settings.uuid, settings.private_key, settings.base.version)


def reach(settings: Config, clock: Clock) -> Transport:
    """The way to the configured server, unused yet. Raises `ConfigError`."""
    context = client_context(settings.ca_bundle) if settings.base.url.startswith("https:") else None
    return Transport(context, settings.deadline_s, clock.wall_ms)


def connect(settings: Config, clock: Clock, identity: Identity) -> tuple[Transport, Sender]:
    """The way to the configured server, and what signs as ``identity`` and sends over it. Raises `ConfigError`."""
    transport = reach(settings, clock)
    return transport, Sender(settings.uuid, identity.sign, settings.base, transport.post, clock.wall_ms)
