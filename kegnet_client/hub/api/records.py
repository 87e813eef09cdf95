"""What the hub shows: pours, temperatures and devices, as JSON or, where ``Accept`` asks for it, as CSV.

Pages come newest first. A page's ``next`` goes into the next request's ``after``; it is a position, not an
offset, so that what arrives meanwhile neither repeats a row nor hides one. The same link stands in the header
``Link``, which CSV needs. Times are Unix milliseconds, intervals begin at ``since_ms`` and end before
``until_ms``.
"""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kegnet_client.core.records import LAST_MS, MAX_PIN
from kegnet_client.hub.store import pages, readings, records, schema, volumes

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

_QUALITY = re.compile(r";\s*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)")
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

Time = Annotated[int | None, Field(ge=0, le=LAST_MS + 1, description="Unix milliseconds")]


Number = Annotated[int, Field(ge=1, le=2**53)]


class Filter(BaseModel):
    """What every list takes; a parameter that it does not know would narrow nothing, and is refused."""

    model_config = ConfigDict(extra="forbid")

    device: Annotated[str | None, Field(pattern=_UUID, description="a device's uuid")] = None
    since_ms: Time = None
    until_ms: Time = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="how many rows at most")] = DEFAULT_LIMIT
    after: Annotated[
        str | None, Field(pattern=r"^\d{1,15}\.\d{1,15}$", description="a page's `next`: go on behind it")
    ] = None


class PourFilter(Filter):
    """Which pours."""

    pin: Annotated[int | None, Field(ge=0, le=MAX_PIN)] = None
    tap: Number | None = None
    keg: Number | None = None
    unassigned: Annotated[bool, Field(description="only those of which nobody has said which keg they left")] = False


class ReadingFilter(Filter):
    """Which readings; with ``points`` the lowest, highest and mean of each sensor in so many parts of the time."""

    sensor: Annotated[str | None, Field(pattern=r"^[0-9a-f]{2}-[0-9a-f]{12}$")] = None
    points: Annotated[
        int | None, Field(ge=1, le=MAX_LIMIT, description="sum up in at most so many equal parts of the time")
    ] = None

    @model_validator(mode="after")
    def _check_points(self) -> "ReadingFilter":
        if self.points is not None and self.model_fields_set & {"limit", "after"}:
            raise ValueError("points: they are no pages, leave limit and after out")
        return self


class Pour(BaseModel):
    """What one tap gave in one go; ``volume_nl`` is in nanolitres, null where nothing is known of its meter.

    ``drips`` is what ran too slowly for a glass. ``adjustment`` and ``reason`` are what a person said that it was.
    """

    id: int
    device: str
    pin: int
    pulses: int
    elapsed_ms: int
    started_ms: int
    received_ms: int
    record_id: str
    volume_nl: int | None
    drips: bool | None
    tap: int | None
    keg: int | None
    adjustment: str | None
    reason: str | None


class Reading(BaseModel):
    """One temperature of one sensor; ``sensor`` is null where the protocol does not tell it."""

    device: str
    sensor: str | None
    millidegrees: int
    taken_ms: int
    received_ms: int
    record_id: str


class Bucket(BaseModel):
    """What a sensor gave from ``at_ms`` on, until its next part begins; parts without readings are left out."""

    device: str
    sensor: str | None
    at_ms: int
    readings: int
    min_millidegrees: int
    max_millidegrees: int
    mean_millidegrees: int


class Device(BaseModel):
    """A registered device; ``key`` is its public key's SHA-256, ``address`` what it last told itself."""

    uuid: str
    name: str
    key: str
    added_ms: int
    revoked_ms: int | None
    last_seen_ms: int | None
    address: str | None


class Pours(BaseModel):
    """A page of pours."""

    items: list[Pour]
    next: str | None


class Readings(BaseModel):
    """A page of readings."""

    items: list[Reading]
    next: str | None


class Buckets(BaseModel):
    """Parts of the time that was asked for, newest first."""

    items: list[Bucket]
    next: None


class Devices(BaseModel):
    """A page of devices."""

    items: list[Device]
    next: str | None


_MEDIA_TYPES = {pages.Form.JSON: "application/json", pages.Form.CSV: "text/csv"}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
    401: {"description": "no token, or a wrong one"},
    503: {"description": "the database cannot answer now, or not within two seconds"},
}


def make_router(hub_store: records.Store) -> APIRouter:
    """The routes under ``/api``, reading from ``hub_store``."""
    # The middleware has checked the token already; this tells the documentation's page how to send it.
    router = APIRouter(prefix="/api", dependencies=[Depends(HTTPBearer(auto_error=False))], responses=_RESPONSES)

    async def answer(
        request: Request, query: pages.Query, rows: pages.Rows, time: str, kind: type[BaseModel]
    ) -> Response:
        form = pages.Form.CSV if _wants_csv(request.headers.get("accept", "")) else pages.Form.JSON
        page = await hub_store.page_text(rows, list(kind.model_fields), time, query, form)
        headers = {"Vary": "Accept"}
        if page.next is not None:
            url = request.url.include_query_params(after=page.next)
            headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return Response(page.content, media_type=_MEDIA_TYPES[form], headers=headers)

    @router.get("/pours", response_model=Pours)
    async def pours(request: Request, asked: Annotated[PourFilter, Query()]) -> Response:
        """Pours, newest first by when they started."""
        query = _query(asked, device=asked.device, pin=asked.pin)
        rows = volumes.select_pours(query, asked.tap, asked.keg, unassigned=asked.unassigned)
        return await answer(request, query, rows, "started_ms", Pour)

    @router.get("/temperatures", response_model=Readings | Buckets)
    async def temperatures(request: Request, asked: Annotated[ReadingFilter, Query()]) -> Response:
        """Readings, newest first by when they were taken; with `points` they are summed up.

        Then each sensor's readings come in at most so many equal parts of the time, together at most ten thousand.
        Where those are of more than a day and more than fifty thousand readings, parts are whole hours.
        """
        if asked.points is not None:
            device = None if asked.device is None else asked.device.lower()
            span, points = readings.Span(asked.since_ms, asked.until_ms, device, asked.sensor), asked.points
            query = pages.Query(readings.MAX_BUCKETS)
            return await answer(request, query, lambda c: readings.select_buckets(c, span, points), "at_ms", Bucket)
        query = _query(asked, device=asked.device, sensor=asked.sensor)
        return await answer(request, query, schema.temperatures, "taken_ms", Reading)

    @router.get("/devices", response_model=Devices)
    async def devices(request: Request, asked: Annotated[Filter, Query()]) -> Response:
        """Devices, newest first by when they were registered."""
        return await answer(request, _query(asked, uuid=asked.device), schema.devices, "added_ms", Device)

    return router


def _query(asked: Filter, **equal: str | int | None) -> pages.Query:
    return pages.Query(asked.limit, pages.parse_position(asked.after), asked.since_ms, asked.until_ms, _equal(**equal))


def _equal(**filters: str | int | None) -> tuple[tuple[str, str | int], ...]:
    """The filters that are set; ids are kept in lower case."""
    return tuple(
        (name, value.lower() if isinstance(value, str) else value)
        for name, value in filters.items()
        if value is not None
    )


def _wants_csv(accept: str) -> bool:
    """Whether ``Accept`` likes CSV better than JSON, or names it where JSON is only let in by a wildcard."""
    given: dict[str, float] = {}
    for part in accept.lower().split(","):
        quality = _QUALITY.search(part)
        given[part.partition(";")[0].strip()] = 1.0 if quality is None else float(quality[1])

    def liking(*ranges: str) -> tuple[float, int]:
        return next(((given[one], -place) for place, one in enumerate(ranges) if one in given), (0.0, -len(ranges)))

    csv_liking = liking("text/csv", "text/*", "*/*")
    return csv_liking[0] > 0 and csv_liking > liking("application/json", "application/*", "*/*")
