"""What ``status`` and ``check`` say of flow meters, whose producer is a process of its own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kegnet_client.config.settings import Config
from kegnet_client.host.state_file import StateFile
from kegnet_client.producers.flow_meter_section import FLOW_METER

PRODUCER = "flow-meter"


def find_meters(config: Config) -> dict[str, dict[str, Any]]:
    """How each meter of ``config`` is, by its name, as its producer said last."""
    state = StateFile.of_producer(config.root, PRODUCER).read()
    meters = state["meters"] if state else {}
    return {name: meters.get(name) or _unknown(name, state) for name in config.sections(FLOW_METER)}


def describe_meter(meter: Mapping[str, Any]) -> str:
    """Its last pulse, its drips and its pours on one line."""
    if not meter["reads"]:
        return "counts nothing"
    last_ms = meter["last_pulse_ms"]
    last = f"last pulse at {when(last_ms)}" if last_ms else "no pulse since its start"
    drips = f"{meter['drips']} pulse{'' if meter['drips'] == 1 else 's'} of drips"
    return f"{last}; {meter['pours']} pour{'' if meter['pours'] == 1 else 's'} since its start, {drips}"


def when(unix_ms: int) -> str:
    """A time for people, by this machine's time zone."""
    return f"{datetime.fromtimestamp(unix_ms / 1000).astimezone():%Y-%m-%d %H:%M:%S}"


def _unknown(name: str, state: Mapping[str, Any] | None) -> dict[str, Any]:
    if state is None:
        why = "its producer does not run: sudo systemctl start kegnet-flow-meter"
    else:
        why = "its producer does not know it yet: sudo systemctl restart kegnet-flow-meter"
    return {"reads": False, "pours": 0, "last_pulse_ms": None, "drips": 0, "problem": f"flow meter {name}: {why}"}
