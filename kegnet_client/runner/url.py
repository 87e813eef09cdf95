"""Which URLs a password may go to."""

import ipaddress
from urllib.parse import urlsplit


def check_url(url: str) -> str:
    """``url`` without its last slash. Raises `ValueError` for one that a password must not go to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("is not the URL of a server; write it like https://couch.example:6984, without a user")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("is plain http to another machine; write https://")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
