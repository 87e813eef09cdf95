"""No request brings more than it may: a body is counted as it comes, and the request is ended where it has too much.

Devices' calls have bounds of their own (`kegnet_client.hub.ingest.body`).
"""

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kegnet_client.hub.access import OPEN_PATHS, OPEN_PREFIX
from kegnet_client.hub.proxy import route_path

MAX_BODY_BYTES = 256 * 1024


class BodyLimit:
    """ASGI middleware that answers a request whose body is too large with a 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = route_path(scope)
        if scope["type"] != "http" or path.startswith(OPEN_PREFIX) or path in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        count = 0

        async def receive_counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > MAX_BODY_BYTES:
                # Closing saves reading the rest of it. Raised where the body is read, it becomes that request's answer.
                raise HTTPException(413, f"the body has more than {MAX_BODY_BYTES} bytes", {"Connection": "close"})
            return message

        await self._app(scope, receive_counted, send)
