"""Its REST calls and its publish call.

They answer as its server did; where that had no answer, as it should have: creation tells the id, deletes exist, and an
unknown channel is a 404 that lists those there are.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Form, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from kegnet_client.hub.access import principal, said_by
from kegnet_client.hub.api.problems import problem
from kegnet_client.hub.api.resource import Number
from kegnet_client.hub.maelstrom import calls, shapes
from kegnet_client.hub.maelstrom.socket import Sockets
from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.records import Store

_T = TypeVar("_T")
Sent = Annotated[Any, Body()]


def make_router(store: Store, sockets: Sockets, clock_ms: Callable[[], int]) -> APIRouter:
    """The calls, over ``store``."""
    router = APIRouter(tags=["Maelstrom"])
    sockets.add_route(router)

    def write(request: Request, work: Callable[..., _T], *what: object) -> _T:
        return store.write(lambda connection: work(connection, *what, said_by(request.scope), clock_ms()))

    @router.post("/publish", response_class=PlainTextResponse)
    def publish(
        request: Request,
        channel: Annotated[str, Form(max_length=200)],
        data: Annotated[str, Form(max_length=calls.MAX_DATA_CHARACTERS)],
    ) -> Response:
        """Pass a text on to everybody who has subscribed the channel."""
        try:
            wrong = _judged(lambda: write(request, calls.publish, channel, data))
        except calls.UnsupportedError as error:
            return PlainTextResponse(f"{error}\n", 404)
        return wrong or PlainTextResponse("Posted")

    @router.get("/appsettings")
    def read_settings() -> dict[str, Any]:
        """What other programs keep here."""
        return {"appsettings": shapes.show_settings(store.look(house.read_settings).others)}

    @router.post("/appsettings", response_model=None)
    def change_settings(request: Request, sent: Sent) -> Any:
        """Each replaces that of the same name."""
        return _judged(lambda: write(request, calls.say_settings, sent)) or shapes.SUCCESS

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
            return shapes.show_profile(calls.find(connection, "profile", number), _started(connection).get(number))

        return {"profile": store.look(work)}

    @router.post("/profiles", response_model=None)
    def add_profile(request: Request, sent: Sent) -> Any:
        """Another profile."""
        return _said(lambda: write(request, calls.say_profile, None, sent))

    @router.post("/profile/{number}", response_model=None)
    def change_profile(request: Request, sent: Sent, number: Number) -> Any:
        """Another state of a profile; what is left out stays."""
        return _said(lambda: write(request, calls.say_profile, number, sent))

    @router.get("/iocontrollers")
    async def read_controllers(request: Request) -> dict[str, Any]:
        """Every controller. Values that came before a client has read this are lost to it, so they are sent again."""
        found = await run_in_threadpool(store.read, lambda connection: entries.read_open(connection, "controller"))
        await sockets.send_data_again(principal(request.scope).name)
        return {"controllers": [shapes.show_controller(one) for one in found]}

    @router.get("/iocontroller/{number}")
    def read_controller(number: Number) -> dict[str, Any]:
        """One controller, with its chambers."""
        entry = store.look(lambda connection: calls.find(connection, "controller", number))
        return {"controller": {**shapes.show_controller(entry), "chambers": entry.body["chambers"]}}

    @router.post("/iocontrollers", response_model=None)
    def add_controller(request: Request, sent: Sent) -> Any:
        """Another controller."""
        return _said(lambda: write(request, calls.say_controller, None, sent))

    @router.post("/iocontroller/{number}", response_model=None)
    def change_controller(request: Request, sent: Sent, number: Number) -> Any:
        """Another state of a controller; what is left out stays."""
        return _said(lambda: write(request, calls.say_controller, number, sent))

    def end(request: Request, kind: str, number: int) -> dict[str, str]:
        def work(connection: Connection) -> None:
            entries.lock(connection)
            entry = calls.find(connection, kind, number)
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


def _said(work: Callable[[], entries.Entry]) -> Any:
    found: list[entries.Entry] = []
    wrong = _judged(lambda: found.append(work()))
    return wrong or {**shapes.SUCCESS, "id": found[0].subject}


def _judged(work: Callable[[], object]) -> Response | None:
    """Do ``work``; the answer that says what is wrong with what was sent, where something is."""
    try:
        work()
    except shapes.ShapeError as error:
        return problem(422, str(error))
    except ValidationError as error:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:300])
    return None


def _started(connection: Connection) -> dict[int, int]:
    """When each profile that runs was started last."""
    runs = sorted(entries.read_open(connection, "run"), key=lambda one: int(one.body["started_ms"]))
    return {one.body["profile"]: one.body["started_ms"] for one in runs}
