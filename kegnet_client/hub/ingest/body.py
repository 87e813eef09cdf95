"""A request's body, read up to its bound and for a bounded time."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from kegnet_client.core.errors import KegnetError

BODY_DEADLINE_S = 10.0


class BodyError(KegnetError):
    """There is no body to go on with: answer ``status`` and ``headers``."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


async def read_body(request: Request, content_type: str, max_bytes: int) -> bytes:
    """The body, or `BodyError` where it is not ``content_type``, too large, too slow or cut."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != content_type:
        raise BodyError(415, f"Content-Type is {kind[:80]!r}, expected {content_type}")
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            body = await _read(request, max_bytes)
    except TimeoutError:
        raise BodyError(
            408, f"the body did not arrive within {BODY_DEADLINE_S:.0f} s", {"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise BodyError(400, "the body ended early") from None
    if body is None:
        # Closing saves reading the rest of it.
        raise BodyError(413, f"the body has more than {max_bytes} bytes", {"Connection": "close"})
    return body


async def _read(request: Request, max_bytes: int) -> bytes | None:
    """The body, or None if it is too large."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > max_bytes:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)
