"""What every channel carries, a form to publish, and simulations: all can be tried without hardware.

A simulation goes the way that a client's call goes, in the name of who looks. One that lasts ends when its page does.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from fastapi import Request
from nicegui import background_tasks, ui
from pydantic import ValidationError
from sqlalchemy import Connection

from kegnet_client.hub.dashboard.context import Hub, Visit
from kegnet_client.hub.dashboard.frame import frame
from kegnet_client.hub.dashboard.monitor import Monitor
from kegnet_client.hub.dashboard.wrong import tell_why
from kegnet_client.hub.maelstrom import calls, channels, shapes, simulations
from kegnet_client.hub.store import bodies, entries, house, runs
from kegnet_client.hub.store.database import StoreError

_TEMPLATE = '{"channel": "logs", "payload": {"entries": [{"source": "me", "msg": "hello"}]}}'
_WRONG = (shapes.ShapeError, calls.UnsupportedError, house.WrongEntryError, StoreError, ValidationError)


async def page(hub: Hub, request: Request) -> None:
    """Show it; who may operate may publish and simulate."""
    visit = await Visit.begin(hub, request)
    with frame(visit, "debugger"), ui.element("div").classes("w-full grid gap-4 lg:grid-cols-[26rem_1fr] items-start"):
        if visit.may_operate:
            with ui.column().classes("w-full gap-4"):
                _add_form(visit)
                _add_simulations(visit)
        with ui.card().classes("w-full min-w-0"):
            ui.label(visit.words("live")).classes("text-xl")
            monitor = Monitor(visit)
    await monitor.begin()


def _add_form(visit: Visit) -> None:
    words = visit.words
    with ui.card().classes("w-full"):
        ui.label(words("publish")).classes("text-xl")
        channel = ui.input(words("channel"), value="logs", autocomplete=list(channels.KNOWN)).props("maxlength=64")
        channel.classes("w-full")
        data = ui.textarea(words("message"), value=_TEMPLATE).classes("w-full font-mono")
        data.props(f"autogrow outlined maxlength={calls.MAX_DATA_CHARACTERS}")

        async def publish() -> None:
            name, text = (channel.value or "").strip(), data.value or ""
            await _do(visit, partial(_publish, visit, channel=name, data=text), words("published"))

        ui.button(words("publish"), icon="send", on_click=publish).props("no-caps")


def _add_simulations(visit: Visit) -> None:
    words = visit.words
    runner = _Runner(visit)

    def add(name: str, work: Callable[[Connection], object]) -> None:
        async def do() -> None:
            await _do(visit, work, words(name))

        ui.button(words(name), on_click=do).props("no-caps outline")

    def say(channel: str, data: str) -> Callable[[Connection], object]:
        return partial(_publish, visit, channel=channel, data=data)

    def say_settings(sent: object) -> Callable[[Connection], object]:
        return lambda connection: calls.say_settings(connection, sent, visit.who.name, visit.hub.clock_ms())

    with ui.card().classes("w-full"):
        ui.label(words("simulations")).classes("text-xl")
        ui.label(words("simulations_hint")).classes("text-sm opacity-80")
        with ui.row().classes("w-full gap-2"):
            add("simulate_alarms", say("alarms", simulations.ALARMS))
            add("simulate_acknowledge", say("alarms", simulations.ACKNOWLEDGE))
            add("simulate_logs", say("logs", simulations.LOGS))
            add("simulate_controllers", partial(_add_controllers, visit))
            add("simulate_profiles", partial(_add_profiles, visit))
            add("simulate_logo", say_settings(simulations.LOGO))
            add("simulate_theme", say_settings(simulations.LOGO_AND_THEME))
        runner.build()


async def _do(visit: Visit, work: Callable[[Connection], object], done: str) -> bool:
    """Do ``work`` in one transaction, and tell on the page that it is ``done``, or what cannot be."""
    try:
        await visit.hub.write(work)
    except _WRONG as error:
        visit.tell_wrong(error)
        return False
    visit.tell(done, "positive")
    return True


def _publish(visit: Visit, connection: Connection, channel: str, data: str) -> None:
    calls.publish(connection, channel, data, visit.who.name, visit.hub.clock_ms())


def _add_controllers(visit: Visit, connection: Connection) -> list[int]:
    """The numbers of the simulated controllers, each of which takes the place of one of its name."""
    return [_say_by_name(visit, connection, "controller", one) for one in simulations.controllers()]


def _add_profiles(visit: Visit, connection: Connection) -> None:
    """The simulated profiles, running on the simulated controllers, which are added before."""
    numbers, now_ms = _add_controllers(visit, connection), visit.hub.clock_ms()
    for one in simulations.profiles():
        profile = _say_by_name(visit, connection, "profile", one.profile)
        body = bodies.Run(
            profile=profile,
            controller=numbers[one.controller],
            chamber=one.chamber,
            started_ms=now_ms - one.days * simulations.DAY_MS,
        )
        runs.start(connection, body, visit.who.name, now_ms)


def _say_by_name(visit: Visit, connection: Connection, kind: str, body: bodies.Profile | bodies.Controller) -> int:
    entries.lock(connection)
    there = [one.subject for one in entries.read_open(connection, kind) if one.body["name"] == body.name]
    subject = there[0] if there else None
    return house.say(connection, kind, subject, body, visit.who.name, visit.hub.clock_ms()).subject


class _Runner:
    """The runs of a controller, of which one at a time goes on."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._task: asyncio.Task[None] | None = None

    def build(self) -> None:
        """Add their buttons, and how far the one is."""
        words = self._visit.words
        with ui.row().classes("w-full gap-2"):
            for name in simulations.SERIES:
                button = ui.button(words(f"simulate_{name}"), icon="play_arrow").props("no-caps outline")
                button.on_click(partial(self._start, name))
        with ui.row().classes("w-full items-center gap-4"):
            self._stop_button = ui.button(words("stop"), icon="stop", on_click=self._stop).props("no-caps")
            self._told = ui.label().props('role="status"')
        self._stop_button.set_visibility(False)
        ui.context.client.on_disconnect(self._stop)
        ui.context.client.on_delete(self._stop)

    def _start(self, name: str) -> None:
        self._stop()
        self._task = background_tasks.create(self._run(name), name="simulation")
        self._stop_button.set_visibility(True)

    def _stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            self._told.text = self._visit.words("simulation_stopped")
        self._stop_button.set_visibility(False)

    async def _run(self, name: str) -> None:
        words, loop = self._visit.words, asyncio.get_running_loop()
        began_s = loop.time()
        title = words(f"simulate_{name}")
        for step in range(simulations.STEPS):
            await asyncio.sleep(began_s + step * simulations.STEP_S - loop.time())
            data = simulations.data_of(name, step)
            try:
                await self._visit.hub.write(partial(_publish, self._visit, channel="data", data=data))
            except StoreError as error:
                self._told.text = words("wrong", text=tell_why(words, error))
                break
            self._told.text = words("simulation_step", title=title, step=step + 1, steps=simulations.STEPS)
        self._stop_button.set_visibility(False)
