"""What an entry of each kind holds: every field bounded, every text cleared of what no reader can see.

One definition for what is kept, what the API takes and what it shows. Times are Unix milliseconds; one that is None
has no end, or is not known. An ``ended_ms`` closes a subject: it is shown as ended, and stays.
"""

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from kegnet_client.core.records import LAST_MS, MAX_PIN, MAX_PULSES
from kegnet_client.hub.domain import meters, profiles, rules, texts
from kegnet_client.hub.domain.colours import READABLE, contrast_with_white
from kegnet_client.hub.domain.refusal_texts import WrongValueError

MAX_ML = 10_000_000
"""Ten thousand litres."""
MAX_LOGO_BYTES = 32 * 1024
MAX_LOGO = 64 + -(-MAX_LOGO_BYTES // 3) * 4
_LOGO = r"^(data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2})?$"
"""An image in itself: nothing is loaded from elsewhere, and none of these forms holds a script."""
_MAX_ITEMS = 200

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=texts.MAX_NAME),
    AfterValidator(texts.check_visible),
]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=texts.MAX_LINE), AfterValidator(texts.check_visible)
]
Value = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(texts.check_visible)]
"""What another program keeps: a logo may be in it."""
Time = Annotated[int, Field(ge=0, le=LAST_MS, strict=True)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Uuid = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Sensor = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2}-[0-9a-f]{12}$")]
Pin = Annotated[int, Field(ge=0, le=MAX_PIN, strict=True)]
Millilitres = Annotated[float, Field(gt=0, le=MAX_ML, allow_inf_nan=False)]


class Body(BaseModel):
    """What is said of a subject; what it does not know is refused rather than lost."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    ended_ms: Time | None = None


class _Interval(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_ms: Time = 0
    until_ms: Time | None = None

    @model_validator(mode="after")
    def _runs_forward(self) -> "_Interval":
        if self.until_ms is not None and self.until_ms <= self.from_ms:
            raise WrongValueError("ends-before")
        return self


class MeterAtTap(_Interval):
    """The flow meter at a tap: a pin of a device, and its kind, which tells what a pulse is until it is calibrated."""

    device: Uuid
    pin: Pin
    kind: Literal["SF800", "Vision 2000", "Kegbot", "YF-S201"] = "SF800"


class Tap(Body):
    """A tap: its meters, one after the other, and the sensor that tells how cold it is."""

    name: Name
    meters: Annotated[list[MeterAtTap], Field(max_length=_MAX_ITEMS)] = []
    sensor: Sensor | None = None


class Beverage(Body):
    """What is in a keg."""

    name: Name
    producer: Line = ""
    style: Line = ""
    abv_percent: Annotated[float | None, Field(ge=0, le=100)] = None
    specific_gravity: Annotated[float | None, Field(ge=meters.MIN_GRAVITY, le=meters.MAX_GRAVITY)] = None
    notes: Line = ""


class KegAtTap(_Interval):
    """A keg runs from a tap, from when until when."""

    tap: Number


class Keg(Body):
    """A keg: its size, what was in it at first (all of it, if that is not told), and where it ran when."""

    beverage: Number | None = None
    size_ml: Millilitres
    start_ml: Annotated[float | None, Field(ge=0, le=MAX_ML)] = None
    taps: Annotated[list[KegAtTap], Field(max_length=_MAX_ITEMS)] = []
    notes: Line = ""


class Calibration(Body):
    """From ``from_ms`` on, what a pulse of a meter is worth: told, or measured by volume or by weight."""

    device: Uuid
    pin: Pin
    from_ms: Time = 0
    nanolitres_per_pulse: Annotated[int | None, Field(ge=1, le=meters.MAX_NANOLITRES_PER_PULSE, strict=True)] = None
    pulses: Annotated[int | None, Field(ge=1, le=MAX_PULSES, strict=True)] = None
    volume_ml: Millilitres | None = None
    weight_g: Annotated[float | None, Field(gt=0, le=MAX_ML)] = None
    specific_gravity: Annotated[float, Field(ge=meters.MIN_GRAVITY, le=meters.MAX_GRAVITY)] = meters.USUAL_GRAVITY

    @model_validator(mode="after")
    def _is_worked_out(self) -> "Calibration":
        if self.pulses is not None and (self.volume_ml is None) == (self.weight_g is None):
            raise WrongValueError("one-measure")
        if self.pulses is not None and self.volume_ml is not None:
            measured = meters.by_volume(self.pulses, self.volume_ml)
        elif self.pulses is not None and self.weight_g is not None:
            measured = meters.by_weight(self.pulses, self.weight_g, self.specific_gravity)
        elif self.nanolitres_per_pulse is None:
            raise WrongValueError("no-figure")
        else:
            return self
        if self.nanolitres_per_pulse not in (None, measured):
            raise WrongValueError("other-figure", measured=measured)
        self.nanolitres_per_pulse = measured
        return self


class Adjustment(Body):
    """What a pour was: none (``void``), not drunk (``spill``), of another volume or keg; ``none`` takes that back."""

    what: Literal["void", "spill", "volume", "keg", "none"]
    volume_ml: Annotated[float | None, Field(ge=0, le=MAX_ML)] = None
    keg: Number | None = None
    reason: Line = ""

    @model_validator(mode="after")
    def _is_told(self) -> "Adjustment":
        if self.what == "volume" and self.volume_ml is None:
            raise WrongValueError("volume-missing")
        if self.what == "keg" and self.keg is None:
            raise WrongValueError("keg-missing")
        return self


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise WrongValueError("no-zone")
    return name


def _dark(colour: str) -> str:
    if contrast_with_white(colour) < READABLE:
        raise WrongValueError("too-light")
    return colour


class Settings(Body):
    """How things are shown; what other programs keep under names of their own stands in ``others``.

    ``first_run`` is where the pages that lead through setting up are; they are over, too, once a keg was tapped.
    """

    name: Name = "KegNet hub"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    units: Literal["metric", "us"] = "metric"
    glass_ml: Millilitres = 500
    language: Literal["en", "de"] = "en"
    theme: Literal["auto", "light", "dark"] = "auto"
    accent: Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$"), AfterValidator(_dark)] = "#b45309"
    logo: Annotated[str, StringConstraints(pattern=_LOGO, max_length=MAX_LOGO)] = ""
    first_run: Literal["name", "units", "device", "keg", "over"] = "name"
    others: Annotated[dict[Name, Value], Field(max_length=_MAX_ITEMS)] = {}


class Point(BaseModel):
    """A temperature so many days after the start; it goes straight to the next point's. Two of a day are a step."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[float, Field(ge=0, le=profiles.MAX_DAYS)]
    temperature: Annotated[float, Field(ge=-100, le=300)]


class Happening(BaseModel):
    """Something to be done so many days after the start."""

    model_config = ConfigDict(extra="forbid")

    days: Annotated[float, Field(ge=0, le=profiles.MAX_DAYS)]
    text: Line


class Profile(Body):
    """Temperatures by days; Maelstrom's clients begin with one that has neither a type nor a point."""

    name: Name
    type: Literal["Fermentation", "Mash", "Serving", ""] = ""
    unit: Literal["C", "F"] = "C"
    temperatures: Annotated[list[Point], Field(max_length=_MAX_ITEMS)] = []
    events: Annotated[list[Happening], Field(max_length=_MAX_ITEMS)] = []

    @model_validator(mode="after")
    def _is_in_order(self) -> "Profile":
        profiles.check([(point.days, point.temperature) for point in self.temperatures])
        return self


class Run(Body):
    """A profile runs on a sensor, or on a chamber of a controller, from ``started_ms`` on."""

    profile: Number
    sensor: Sensor | None = None
    controller: Number | None = None
    chamber: Number | None = None
    started_ms: Time


class Rule(Body):
    """Limits of its own for a sensor, meter, keg or device; for all of them where ``subject`` is "all"."""

    subject: Annotated[str, StringConstraints(pattern=r"^(all|(sensor|device|keg|meter) [0-9a-f -]{1,60})$")]
    limits: Annotated[dict[Name, int | None], Field(max_length=20)]

    @model_validator(mode="after")
    def _are_limits(self) -> "Rule":
        rules.DEFAULT.with_own(self.limits)
        return self


class ChamberDevice(BaseModel):
    """Something that is wired to a controller."""

    model_config = ConfigDict(extra="forbid")

    name: Line = ""
    slot: Line = ""
    kind: Line = ""
    hardware: Line = ""
    function: Line = ""


class Chamber(BaseModel):
    """A place whose temperature a controller looks after."""

    model_config = ConfigDict(extra="forbid")

    name: Line = ""
    devices: Annotated[list[ChamberDevice], Field(max_length=50)] = []


class Controller(Body):
    """A controller of temperatures, such as a BrewPi: reached by a socket of its machine, or by address and port."""

    name: Line = ""
    address: Line = ""
    port: Line = ""
    socket: Line = ""
    chambers: Annotated[list[Chamber], Field(max_length=50)] = []


NAME: TypeAdapter[str] = TypeAdapter(Name)
"""A name by itself, such as a token's."""

KINDS: dict[str, type[Body]] = {
    "tap": Tap,
    "beverage": Beverage,
    "keg": Keg,
    "calibration": Calibration,
    "adjustment": Adjustment,
    "settings": Settings,
    "profile": Profile,
    "run": Run,
    "rule": Rule,
    "controller": Controller,
}
