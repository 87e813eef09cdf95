"""A proxy in front of the hub, and what is trusted of it: who asks, over what, and under which path.

``X-Forwarded-For`` and ``X-Forwarded-Proto`` are uvicorn's to read. ``X-Forwarded-Prefix`` is what the proxy cut off
the path: REST v3 signs the path that the device asked for, so the whole one is put together again here, and links lead
back through the proxy. Nothing is trusted of anybody who is not named with ``--proxy``.
"""

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kegnet_client.core.errors import UsageError
from kegnet_client.hub.connections import plain_address

PREFIX_HEADER = "X-Forwarded-Prefix"
_MAX_CHARACTERS = 200
# No segment is empty: a link that begins with two slashes leads to another host.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)


class Proxy:
    """The proxy or proxies at ``address``, an IP address or a network; None for none."""

    def __init__(self, address: str | None) -> None:
        # uvicorn takes anything, and trusts nobody where it is no address.
        try:
            self._network = None if address is None else ipaddress.ip_network(address)
        except ValueError:
            raise UsageError(f"--proxy {address!r}: write an IP address, or a network such as 192.168.1.0/24") from None

    def __contains__(self, host: str) -> bool:
        if self._network is None:
            return False
        try:
            return ipaddress.ip_address(plain_address(host)) in self._network
        except ValueError:
            return False

    def trusted_hosts(self) -> list[str]:
        """In uvicorn's terms."""
        if self._network is None:
            return []
        if self._network.version == 6:
            return [str(self._network)]
        # How IPv4 arrives at a socket for both families.
        mapped = f"::ffff:{self._network.network_address}/{96 + self._network.prefixlen}"
        return [str(self._network), mapped]


class PrefixMiddleware:
    """ASGI middleware that puts the prefix that ``proxy`` cut off before the path again, as ``root_path``."""

    def __init__(self, app: ASGIApp, proxy: Proxy) -> None:
        self._app = app
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("client") and scope["client"][0] in self._proxy:
            prefix = Headers(scope=scope).get(PREFIX_HEADER, "").rstrip("/")
            if len(prefix) <= _MAX_CHARACTERS and _PREFIX.fullmatch(prefix) and scope["path"].startswith("/"):
                scope["root_path"] = prefix
                scope["path"] = prefix + scope["path"]
                scope["raw_path"] = prefix.encode("ascii") + scope["raw_path"]
        await self._app(scope, receive, send)


def route_path(scope: Scope) -> str:
    """The path below the prefix: what the routes and the token's check go by."""
    path: str = scope.get("path", "")
    root: str = scope.get("root_path", "")
    below = path.removeprefix(root)
    return below if below.startswith("/") else path
