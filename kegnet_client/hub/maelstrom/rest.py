"""Its REST calls and its publish call.

They answer as its server did; where that had no answer, as it should have: creation tells the id, deletes exist, and an
unknown channel is a 404 that lists those there are.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Form, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.access import principal, said_by
from kegnet_client.hub.api.problems import problem
from kegnet_client.hub.api.resource import Number
from kegnet_client.hub.domain.alarms import Alarm, Key, Moment, acknowledge
from kegnet_client.hub.domain.alarms import publish as publish_one
from kegnet_client.hub.maelstrom import channels, shapes
from kegnet_client.hub.maelstrom.socket import Sockets
from kegnet_client.hub.store import alarms, bodies, entries, events, house
from kegnet_client.hub.store.records import Store

MAX_DATA_CHARACTERS = 64 * 1024

Sent = Annotated[Any, Body()]


def make_router(store: Store, sockets: Sockets, clock_ms: Callable[[], int]) -> APIRouter:
    """The calls, over ``store``."""
    router = APIRouter(tags=["Maelstrom"])
    sockets.add_route(router)

    @router.post("/publish", response_class=PlainTextResponse)
    def publish(
        request: Request,
        channel: Annotated[str, Form(max_length=200)],
        data: Annotated[str, Form(max_length=MAX_DATA_CHARACTERS)],
    ) -> Response:
        """Pass a text on to everybody who has subscribed the channel."""
        if not channels.NAME.fullmatch(channel) or channel in channels.OWN:
            known = ", ".join(channels.KNOWN)
            return PlainTextResponse(
                f"Unsupported channel: {channel[:64]!a}. There are {known}, and others of small letters, digits, "
                "- and _ that are not the hub's own\n",
                404,
            )
        if channel == "alarms":
            return _judged(lambda: publish_alarms(data, said_by(request.scope))) or PlainTextResponse("Posted")
        body = {"data": data, "said_by": said_by(request.scope)}
        store.write(lambda connection: events.append(connection, clock_ms(), [(channel, body)]))
        return PlainTextResponse("Posted")

    def publish_alarms(data: str, who: str) -> None:
        """Let them be alarms like others: kept, shown, and standing until they are acknowledged."""
        said, is_known = channels.alarms_published(data)
        now_ms = clock_ms()

        def work(connection: Connection) -> None:
            for source, code, text in said:
                alarms.happen(
                    connection, now_ms, partial(publish_one, source=source, code=code, text=text, now_ms=now_ms)
                )
            if is_known:
                alarms.happen(connection, now_ms, partial(_acknowledge_all, who=who, now_ms=now_ms))

        store.write(work)

    @router.get("/appsettings")
    def read_settings() -> dict[str, Any]:
        """What other programs keep here."""
        return {"appsettings": shapes.show_settings(store.read(house.read_settings).others)}

    @router.post("/appsettings", response_model=None)
    def change_settings(request: Request, sent: Sent) -> Any:
        """Each replaces that of the same name."""

        def work(connection: Connection) -> None:
            entries.lock(connection)
            holding = house.read_settings(connection)
            others = {**holding.others, **shapes.settings_sent(sent)}
            body = bodies.Settings.model_validate({**holding.model_dump(), "others": others})
            house.say(connection, "settings", house.SETTINGS, body, said_by(request.scope), clock_ms())

        return _judged(lambda: store.write(work)) or shapes.SUCCESS

    @router.get("/profiles")
    def read_profiles() -> dict[str, Any]:
        """Every profile."""

        def work(connection: Connection) -> list[dict[str, Any]]:
            started = _started(connection)
            return [
                shapes.show_profile(one, started.get(one.subject)) for one in entries.read_open(connection, "profile")
            ]

        return {"profiles": store.read(work)}

    @router.get("/profile/{number}")
    def read_profile(number: Number) -> dict[str, Any]:
        """One profile."""

        def work(connection: Connection) -> dict[str, Any]:
            return shapes.show_profile(_find(connection, "profile", number), _started(connection).get(number))

        return {"profile": store.read(work)}

    def say_profile(request: Request, sent: Any, number: int | None) -> Any:
        def work(connection: Connection) -> entries.Entry:
            entries.lock(connection)
            before = None if number is None else _find(connection, "profile", number).body
            unit = "F" if house.read_settings(connection).units == "us" else "C"
            body = bodies.Profile.model_validate(shapes.profile_body(sent, before, unit))
            return house.say(connection, "profile", number, body, said_by(request.scope), clock_ms())

        return _said(lambda: store.write(work))

    @router.post("/profiles", response_model=None)
    def add_profile(request: Request, sent: Sent) -> Any:
        """Another profile."""
        return say_profile(request, sent, None)

    @router.post("/profile/{number}", response_model=None)
    def change_profile(request: Request, sent: Sent, number: Number) -> Any:
        """Another state of a profile; what is left out stays."""
        return say_profile(request, sent, number)

    @router.get("/iocontrollers")
    async def read_controllers(request: Request) -> dict[str, Any]:
        """Every controller. Values that came before a client has read this are lost to it, so they are sent again."""
        found = await run_in_threadpool(store.read, lambda connection: entries.read_open(connection, "controller"))
        await sockets.send_data_again(principal(request.scope).name)
        return {"controllers": [shapes.show_controller(one) for one in found]}

    @router.get("/iocontroller/{number}")
    def read_controller(number: Number) -> dict[str, Any]:
        """One controller, with its chambers."""
        entry = store.read(lambda connection: _find(connection, "controller", number))
        return {"controller": {**shapes.show_controller(entry), "chambers": entry.body["chambers"]}}

    def say_controller(request: Request, sent: Any, number: int | None) -> Any:
        def work(connection: Connection) -> entries.Entry:
            entries.lock(connection)
            before = None if number is None else _find(connection, "controller", number).body
            body = bodies.Controller.model_validate(shapes.controller_body(sent, before))
            return house.say(connection, "controller", number, body, said_by(request.scope), clock_ms())

        return _said(lambda: store.write(work))

    @router.post("/iocontrollers", response_model=None)
    def add_controller(request: Request, sent: Sent) -> Any:
        """Another controller."""
        return say_controller(request, sent, None)

    @router.post("/iocontroller/{number}", response_model=None)
    def change_controller(request: Request, sent: Sent, number: Number) -> Any:
        """Another state of a controller; what is left out stays."""
        return say_controller(request, sent, number)

    def end(request: Request, kind: str, number: int) -> dict[str, str]:
        def work(connection: Connection) -> None:
            entries.lock(connection)
            entry = _find(connection, kind, number)
            now_ms = clock_ms()
            body = bodies.KINDS[kind].model_validate({**entry.body, "ended_ms": now_ms})
            house.say(connection, kind, number, body, said_by(request.scope), now_ms)

        store.write(work)
        return shapes.SUCCESS

    @router.delete("/profile/{number}")
    def end_profile(request: Request, number: Number) -> dict[str, str]:
        """End a profile: it stays in the history."""
        return end(request, "profile", number)

    @router.delete("/iocontroller/{number}")
    def end_controller(request: Request, number: Number) -> dict[str, str]:
        """End a controller: it stays in the history."""
        return end(request, "controller", number)

    return router


def _acknowledge_all(found: Mapping[Key, Alarm], who: str, now_ms: int) -> list[Moment]:
    return [moment for alarm in found.values() for moment in acknowledge(alarm, who, now_ms)]


def _said(work: Callable[[], entries.Entry]) -> Any:
    found: list[entries.Entry] = []
    wrong = _judged(lambda: found.append(work()))
    return wrong or {**shapes.SUCCESS, "id": found[0].subject}


def _judged(work: Callable[[], None]) -> Response | None:
    """Do ``work``; the answer that says what is wrong with what was sent, where something is."""
    try:
        work()
    except shapes.ShapeError as error:
        return problem(422, str(error))
    except ValidationError as error:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:300])
    return None


def _find(connection: Connection, kind: str, number: int) -> entries.Entry:
    entry = entries.read_one(connection, kind, number)
    if entry is None or entry.body.get("ended_ms") is not None:
        raise house.UnknownError(f"there is no {kind} {number}")
    return entry


def _started(connection: Connection) -> dict[int, int]:
    """When each profile that runs was started last."""
    runs = sorted(entries.read_open(connection, "run"), key=lambda one: int(one.body["started_ms"]))
    return {one.body["profile"]: one.body["started_ms"] for one in runs}
