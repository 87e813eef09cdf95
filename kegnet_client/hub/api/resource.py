"""What people say of one kind of things, over HTTP: to read, to say, to change, to end, and who said what when.

``GET`` gives what holds, with the number of the entry as ``ETag``; ``PUT`` with ``If-Match`` changes nothing that
somebody else has changed meanwhile. ``DELETE`` ends a subject: it stays, with its history, and another ``PUT`` can
begin it again.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, create_model
from sqlalchemy import Connection

from kegnet_client.hub.access import said_by
from kegnet_client.hub.store import bodies, entries, house
from kegnet_client.hub.store.entries import Entry
from kegnet_client.hub.store.records import Store

MAX_LIMIT = 1000
_TAG = re.compile(r'(?:W/)?"(\d{1,18})"')

_B = TypeVar("_B", bound=bodies.Body)

Show = Callable[[Connection, Sequence[Entry], int], list[dict[str, Any]]]
"""What is shown of entries at a time: `house.describe`, and what follows from other things."""

Number = Annotated[int, Path(ge=1, le=2**53)]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=100)]

_SAID: dict[str, Any] = {"id": (int, ...), "entry": (int, ...), "said_by": (str, ...), "recorded_ms": (int, ...)}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"description": "no token, or a wrong one"},
    403: {"description": "the token may not do this"},
    404: {"description": "there is no such thing"},
    503: {"description": "the database cannot answer now"},
}


def describe(_connection: Connection, shown: Sequence[Entry], _now_ms: int) -> list[dict[str, Any]]:
    """What was said, and no more."""
    return [house.describe(one) for one in shown]


def add_resource(
    router: APIRouter,
    store: Store,
    clock_ms: Callable[[], int],
    kind: str,
    model: type[_B],
    *,
    show: Show = describe,
    more: dict[str, Any] | None = None,
    has_own_numbers: bool = True,
) -> None:
    """Add the routes of ``kind``; ``show`` adds the fields ``more`` to what is read.

    Where subjects have their numbers from elsewhere, none is added, but everything is said by ``PUT``.
    """
    plural = house.channel_of(kind)
    said = create_model(f"{model.__name__}Entry", __base__=model, **_SAID)
    shown = create_model(f"{model.__name__}Shown", __base__=said, **(more or {}))
    listed = create_model(f"{model.__name__}List", items=(list[shown], ...), next=(int | None, ...))  # type: ignore[valid-type]  # a model that is made here
    history = create_model(f"{model.__name__}History", items=(list[said], ...))  # type: ignore[valid-type]  # as above

    @router.get(f"/{plural}", response_model=None, responses=_answers(listed), name=f"list_{plural}")
    def read_all(
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = MAX_LIMIT,
        after: Annotated[int, Query(ge=0, le=2**53, description="a page's `next`: go on behind it")] = 0,
        ended: Annotated[bool, Query(description="those that were ended, too")] = False,
    ) -> dict[str, Any]:
        """What holds, in the order of numbers."""

        def work(connection: Connection) -> dict[str, Any]:
            holding = entries.read_all(connection, kind) if ended else entries.read_open(connection, kind)
            found = [one for one in holding if one.subject > after]
            page = show(connection, found[:limit], clock_ms())
            return {"items": page, "next": found[limit - 1].subject if len(found) > limit else None}

        return store.read(work)

    if has_own_numbers:

        @router.post(
            f"/{plural}", status_code=201, response_model=None, responses=_answers(said, 201), name=f"add_{kind}"
        )
        def add(request: Request, response: Response, body: model) -> dict[str, Any]:  # type: ignore[valid-type]  # FastAPI reads it when it runs
            """Say what holds of a new one."""
            entry = store.write(
                lambda connection: house.say(connection, kind, None, body, said_by(request.scope), clock_ms())
            )
            response.headers["Location"] = f"{request.scope.get('root_path', '')}/api/{plural}/{entry.subject}"
            return _tagged(response, entry)

    @router.get(f"/{plural}/{{number}}", response_model=None, responses=_answers(shown), name=f"read_{kind}")
    def read_one(response: Response, number: Number) -> dict[str, Any]:
        """What holds of one."""

        def work(connection: Connection) -> tuple[Entry, dict[str, Any]]:
            entry = entries.read_one(connection, kind, number)
            if entry is None:
                raise house.UnknownError("no-such", kind=kind, number=number)
            return entry, show(connection, [entry], clock_ms())[0]

        entry, found = store.look(work)
        response.headers["ETag"] = f'"{entry.id}"'
        return found

    @router.put(f"/{plural}/{{number}}", response_model=None, responses=_answers(said), name=f"change_{kind}")
    def change(
        request: Request,
        response: Response,
        number: Number,
        body: model,  # type: ignore[valid-type]  # FastAPI reads it when it runs
        if_match: IfMatch = None,
    ) -> dict[str, Any]:
        """Say what holds of one from now on: all of it."""
        seen = seen_entry(if_match)
        entry = store.write(
            lambda connection: house.say(connection, kind, number, body, said_by(request.scope), clock_ms(), seen)
        )
        return _tagged(response, entry)

    @router.delete(f"/{plural}/{{number}}", response_model=None, responses=_answers(said), name=f"end_{kind}")
    def end(request: Request, response: Response, number: Number, if_match: IfMatch = None) -> dict[str, Any]:
        """End one: it stays, as ended."""
        seen = seen_entry(if_match)

        def work(connection: Connection) -> Entry:
            entries.lock(connection)
            entry = entries.read_one(connection, kind, number)
            if entry is None:
                raise house.UnknownError("no-such", kind=kind, number=number)
            if entry.body.get("ended_ms") is not None:
                return entry
            now_ms = clock_ms()
            ended = model.model_validate({**entry.body, "ended_ms": now_ms})
            return house.say(connection, kind, number, ended, said_by(request.scope), now_ms, seen)

        return _tagged(response, store.write(work))

    @router.get(
        f"/{plural}/{{number}}/history", response_model=None, responses=_answers(history), name=f"{kind}_history"
    )
    def read_history(number: Number) -> dict[str, Any]:
        """All that was said of one, the oldest first."""
        found = store.read(lambda connection: entries.read_history(connection, kind, number))
        if not found:
            raise house.UnknownError("no-such", kind=kind, number=number)
        return {"items": [house.describe(one) for one in found]}


def _answers(model: type[BaseModel], status: int = 200) -> dict[int | str, dict[str, Any]]:
    return {**_RESPONSES, status: {"model": model}}


def _tagged(response: Response, entry: Entry) -> dict[str, Any]:
    response.headers["ETag"] = f'"{entry.id}"'
    return house.describe(entry)


def seen_entry(if_match: str | None) -> int | None:
    """The entry that the request has seen; None where it does not matter."""
    if if_match is None or if_match.strip() == "*":
        return None
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise HTTPException(400, "If-Match: expected the ETag of what was read")
    return int(tag[1])
