"""What a pulse of a flow meter is worth, in whole nanolitres, so that sums are exact in whatever order.

A meter is calibrated by a measured pour: by the volume that a jug shows, or by what it weighs. Until then the figure
from its maker holds.
"""

from kegnet_client.hub.domain.refusal_texts import WrongValueError

NANOLITRES_PER_ML = 1_000_000

DEFAULTS = {
    "SF800": 185_185,
    "Vision 2000": 454_545,
    "Kegbot": 367_107,
    "YF-S201": 2_222_222,
}
"""Nanolitres a pulse, by the meter's kind; 5.4 pulses a millilitre for the SF800."""

DRIPS_NL_PER_MS = 500
"""What runs slower than half a millilitre a second is drips."""
MAX_NANOLITRES_PER_PULSE = 1_000_000_000
"""A litre: more than any meter has."""
USUAL_GRAVITY = 1.015
"""The specific gravity of a beer of which nothing is known, in kilograms a litre."""
MIN_GRAVITY = 0.9
MAX_GRAVITY = 1.3


def by_volume(pulses: int, millilitres: float) -> int:
    """Nanolitres a pulse, where ``pulses`` were counted for ``millilitres``; `ValueError` where no meter has that."""
    if pulses < 1:
        raise WrongValueError("no-pulses")
    if not 0 < millilitres <= 1e9:  # not a number is neither
        raise WrongValueError("no-volume")
    result = round(millilitres * NANOLITRES_PER_ML / pulses)
    if not 1 <= result <= MAX_NANOLITRES_PER_PULSE:
        raise WrongValueError("no-such-meter", millilitres=millilitres, pulses=pulses, result=result)
    return result


def by_weight(pulses: int, grams: float, gravity: float = USUAL_GRAVITY) -> int:
    """Nanolitres a pulse, where what weighs ``grams`` without the jug has the specific gravity ``gravity``."""
    if not MIN_GRAVITY <= gravity <= MAX_GRAVITY:
        raise WrongValueError("gravity-out-of-range", least=MIN_GRAVITY, most=MAX_GRAVITY)
    if not 0 < grams <= 1e9:
        raise WrongValueError("no-weight")
    return by_volume(pulses, grams / gravity)


def is_drips(volume_nl: int, elapsed_ms: int) -> bool:
    """Whether what ran so long was drips rather than a pour."""
    return 0 < volume_nl < elapsed_ms * DRIPS_NL_PER_MS
