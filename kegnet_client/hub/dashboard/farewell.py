"""What becomes of an open page whose token is revoked or has expired: it goes to the login, which says so."""

import asyncio
from urllib.parse import parse_qs

from nicegui import Client, ui
from starlette.types import Scope

from kegnet_client.hub.access import LOGIN_PATH

GONE = f"..{LOGIN_PATH}?gone=1"
_FAREWELL_S = 0.5
"""For the browser to be told, before it is cut off."""


async def tell_gone(scope: Scope) -> None:
    """Send the page whose websocket ``scope`` is to the login."""
    named = parse_qs(scope["query_string"].decode("latin-1")).get("client_id", [""])
    client = Client.instances.get(named[0])
    if client is not None:
        with client:
            ui.navigate.to(GONE)
        await asyncio.sleep(_FAREWELL_S)
