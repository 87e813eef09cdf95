"""What controllers say on the channel ``data``, in both forms: that of 2014 and the one of 2013 with chambers. Pure."""

import json
from typing import Any


def read_value(data: str, controller: int, chamber: int | None) -> float | None:
    """The temperature of a chamber in the message ``data``, in the brewer's unit; None where it does not tell it.

    A controller of 2014 has one chamber, and says 0.0 until it knows better.
    """
    try:
        payload = json.loads(data)["payload"]
        for one in payload.get("controllers", []):
            for place in one["chambers"] if _is(one["id"], controller) else []:
                if chamber is None or _is(place["id"], chamber):
                    return _number(place["variables"]["pv"])
        if _is(payload.get("controllerId"), controller):
            return _number(payload["beer"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return None


def _is(said: Any, number: int) -> bool:
    return not isinstance(said, bool) and str(said) == str(number)


def _number(said: Any) -> float | None:
    value = float(said)
    return value if value and -1000 < value < 1000 else None
