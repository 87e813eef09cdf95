"""How the producers of the configuration stand: what the process of each says of itself, if one runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kegnet_client.commands.meters import when
from kegnet_client.config.settings import AnySection, Config
from kegnet_client.core.records import format_celsius
from kegnet_client.host.state_file import StateFile
from kegnet_client.producers.kegboard_section import KEGBOARD
from kegnet_client.producers.led_section import LED

KINDS: dict[str, AnySection] = {
    "kegboard": KEGBOARD,
}
"""The commands of producers that have a section for each board."""
LOCAL_EVENTS = ("local-events", "kegbot")
"""Of which there is one, whether anybody has a use for it or not: it is shown when it runs."""

STARTS = {
    "kegboard": "its service starts when its board is plugged in",
    "led": "sudo systemctl start kegnet-led",
}
"""How each comes to run."""


def state_file(root: Path, kind: str, name: str) -> StateFile:
    """Where the producer of the section ``name`` says how it stands; ``kind`` is its command."""
    return StateFile(root, Path(f"/run/kegnet-{kind}"), f"{kind}-{name}.json")


def read_producers(config: Config) -> list[dict[str, Any]]:
    """The state of each producer that ``config`` has a section for, whether it runs or not."""
    found = []
    for kind, section in KINDS.items():
        for name in config.sections(section):
            state = state_file(config.root, kind, name).read()
            found.append({"kind": kind, "name": name, "running": state is not None, **(state or {})})
    if (label := config.section(LED).label) is not None:
        state = state_file(config.root, "led", label).read()
        found.append({"kind": "led", "name": label, "running": state is not None, **(state or {})})
    if (state := state_file(config.root, *LOCAL_EVENTS).read()) is not None:
        found.append({"running": True, **state})
    return found


def describe(producer: dict[str, Any]) -> Iterator[str]:
    """Lines for people about one."""
    if not producer["running"]:
        yield f"{producer['name']} does not run: {STARTS[producer['kind']]}"
        return
    version = producer.get("firmware_version")
    where = producer.get("device")
    yield (
        producer["name"]
        + (f" at {where}" if where else "")
        + (f", version {version}" if where and version is not None else "")
        + (f" is {producer['shows']}" if "shows" in producer and not producer["problem"] else "")
        + (f": {producer['problem']}" if producer["problem"] else "")
    )
    for meter in producer.get("meters", ()):
        last_ms, drips, ignored = meter["last_pulse_ms"], meter["drips"], meter["ignored"]
        yield (
            f"pin {meter['pin']}: {meter['pours']} pour{'' if meter['pours'] == 1 else 's'}"
            + (f", last pulse at {when(last_ms)}" if last_ms else ", no pulse yet")
            + (", flows" if meter["flowing"] else "")
            + (f", drips {drips}" if drips else "")
            + (f", {ignored} pulses ignored" if ignored else "")
        )
    for one in producer.get("temperatures", ()):
        yield f"{format_celsius(one['millidegrees'])} from {one['sensor']} at {when(one['taken_ms'])}"
