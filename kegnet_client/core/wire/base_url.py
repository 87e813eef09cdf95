"""The address of a KegNet server, ``serviceBaseURL``: its last part is the protocol to speak."""

import ipaddress
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

KEGNET_ADVICE = "check serviceBaseURL and the uuid"
"""What may be wrong where a server rejects every record."""


class Version(Enum):
    """The protocol that is spoken, as the base URL's last part names it."""

    V1 = "v1"
    V2 = "v2"
    V3 = "v3"

    @property
    def ms_per_unit(self) -> int:
        """How many milliseconds one unit of this version's times is."""
        return 1000 if self is Version.V1 else 1


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """``serviceBaseURL``, taken apart."""

    url: str
    host: str
    port: int
    version: Version


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The address of a server over HTTP, taken apart; ``url`` has no slash at its end."""

    url: str
    host: str
    port: int
    path: str


def parse_url(text: str, example: str) -> ServerUrl:
    """The address of a server, taken apart; `ValueError` says what is wrong with it, and to write it like ``example``.

    Plain http is for a server on this machine only: elsewhere anyone in between could acknowledge records
    that no server has seen.
    """
    url = text.rstrip("/")
    # Judged as written: urlsplit drops tabs and newlines, and an empty query or fragment leaves no trace.
    if not url.isprintable() or not {" ", "?", "#"}.isdisjoint(url):
        raise ValueError(f"it may hold a host, a port and a path, nothing else; write it as {example}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"its host cannot be read; write it as {example}") from None
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("its port is not a number from 1 to 65535")
    host = parts.hostname
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError(f"write it as {example}")
    if parts.username is not None:
        raise ValueError(f"it may hold a host, a port and a path, nothing else; write it as {example}")
    if not _is_host(host):
        raise ValueError(f"{host[:60]!r} can be no host's name; write it as {example}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("http is not encrypted and is taken for this machine only; write https://")
    # Whoever reads the URL later looks for the scheme as it is usually spelled.
    url = parts.scheme + url[len(parts.scheme) :]
    return ServerUrl(url, host, port or (443 if parts.scheme == "https" else 80), parts.path)


def parse_base_url(text: str) -> BaseUrl:
    """``serviceBaseURL`` taken apart; `ValueError` says what is wrong with it and what to write."""
    parsed = parse_url(text, "https://HOST/rest/v3")
    rest, _, last = parsed.path.rpartition("/")
    version = next((version for version in Version if version.value == last), None)
    if not rest.endswith("/rest") or version is None:
        raise ValueError("it must end in /rest/v1, /rest/v2 or /rest/v3, the protocol to speak")
    return BaseUrl(parsed.url, parsed.host, parsed.port, version)


def _is_host(host: str) -> bool:
    try:
        return bool(host.encode("idna")) and not host.startswith((".", "*"))
    except UnicodeError:
        return False


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, whatever a resolver says."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
