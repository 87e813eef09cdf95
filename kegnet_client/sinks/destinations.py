"""Every sink that a configuration names, ready to be connected to: a new kind of sink joins `_KINDS` by one line."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kegnet_client.config.settings import AnySection, Config
from kegnet_client.core.errors import ConfigError, TransportError, UntrustedServerError
from kegnet_client.core.records import Heartbeat
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.base_url import Version
from kegnet_client.host.clock import Clock
from kegnet_client.sinks import xively
from kegnet_client.sinks.base import OpenSink
from kegnet_client.sinks.kegbot_section import KEGBOT, KegbotSettings
from kegnet_client.sinks.kegnet_section import KEGNET, KegNetSettings
from kegnet_client.sinks.mqtt_section import MQTT, MqttSettings
from kegnet_client.sinks.open import connect, find_identity
from kegnet_client.sinks.xively_section import XIVELY, XivelySettings


@dataclass(frozen=True, slots=True)
class Destination:
    """A configured sink. ``name`` is its own among the sinks, ``server`` is where it is, ``device`` who sends there.

    ``key`` is the fingerprint of the key that it signs with, if it does; ``knows_sensors`` says that it tells the
    readings of one sensor from those of another.
    """

    name: str
    server: str
    device: str
    connect: OpenSink
    key: str | None = None
    knows_sensors: bool = True

    def __str__(self) -> str:
        return f"{self.server} as {self.device}"


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """What an opener needs. ``is_beside`` says that a daemon may be delivering to the same meanwhile."""

    config: Config
    clock: Clock
    environ: Mapping[str, str]
    is_beside: bool


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of sink: ``address`` says where the one of these settings is, ``open`` opens it."""

    section: AnySection
    address: Callable[[Any], str]
    open: Callable[[_Circumstances, Any], Destination]


def find_addresses(config: Config) -> dict[str, str]:
    """Where each sink that ``config`` names is, by the sink's name."""
    found = {name: (kind, config.find(kind.section)) for name, kind in _KINDS.items()}
    return {name: kind.address(settings) for name, (kind, settings) in found.items() if settings is not None}


def open_destination(
    name: str, config: Config, clock: Clock, environ: Mapping[str, str], *, is_beside: bool = False
) -> Destination:
    """The sink ``name`` of ``config``. Raises `ConfigError` at once; what is opened connects when it first sends.

    ``is_beside`` says that a daemon may be delivering to the same meanwhile.
    """
    kind = _KINDS[name]
    return kind.open(_Circumstances(config, clock, environ, is_beside), config.section(kind.section))


def open_all(config: Config, clock: Clock, environ: Mapping[str, str]) -> list[Destination]:
    """Every sink that ``config`` names. Raises `ConfigError`."""
    return [open_destination(name, config, clock, environ) for name in find_addresses(config)]


def send_sign_of_life(destination: Destination, clock: Clock) -> str:
    """One exchange with ``destination``; what came of it. Raises `KegnetError`."""
    with contextlib.closing(destination.connect()) as sink:
        (verdict,) = sink.send([Heartbeat(clock.wall_ms())])
    if verdict.disposition is Disposition.ACCEPTED:
        return f"{destination.server} took a heartbeat from {destination.device}"
    refused = verdict.disposition is Disposition.MISCONFIGURED
    raise (UntrustedServerError if refused else TransportError)(f"{destination.server}: {verdict.reason}")


def _address_of_kegnet(settings: KegNetSettings) -> str:
    return settings.base.url


def _open_kegnet(on: _Circumstances, settings: KegNetSettings) -> Destination:
    identity = find_identity(settings, on.environ)
    return Destination(
        "kegnet",
        _address_of_kegnet(settings),
        settings.uuid,
        connect(settings, on.clock, identity),
        identity.fingerprint,
        knows_sensors=settings.base.version is Version.V3,
    )


def _address_of_mqtt(settings: MqttSettings) -> str:
    return str(settings.broker)


def _open_mqtt(on: _Circumstances, settings: MqttSettings) -> Destination:
    try:
        # Late, because of what it imports.
        from kegnet_client.sinks import mqtt
    except ModuleNotFoundError as error:
        raise _missing(error, "MQTT", "paho") from None
    device = settings.uuid or _find_device(on.config, "MQTT")
    connect_mqtt = mqtt.connect(settings, device, on.clock.wall_ms, "-check" if on.is_beside else "")
    return Destination("mqtt", _address_of_mqtt(settings), device, connect_mqtt)


def _address_of_kegbot(settings: KegbotSettings) -> str:
    return settings.api.url


def _open_kegbot(on: _Circumstances, settings: KegbotSettings) -> Destination:
    # Late, because of what it imports.
    from kegnet_client.sinks import kegbot

    device = settings.uuid or _find_device(on.config, "Kegbot")
    connect_kegbot = kegbot.connect(settings, device, on.clock, beside=on.is_beside)
    return Destination("kegbot", _address_of_kegbot(settings), device, connect_kegbot)


def _open_xively(on: _Circumstances, settings: XivelySettings) -> Destination:
    feed = f"feed {settings.feed_id}"
    return Destination("xively", xively.address(settings), feed, xively.connect(settings, on.clock.wall_ms))


_KINDS = {
    "kegnet": _Kind(KEGNET, _address_of_kegnet, _open_kegnet),
    "kegbot": _Kind(KEGBOT, _address_of_kegbot, _open_kegbot),
    "mqtt": _Kind(MQTT, _address_of_mqtt, _open_mqtt),
    "xively": _Kind(XIVELY, xively.address, _open_xively),
}


def _find_device(config: Config, section: str) -> str:
    kegnet = config.find(KEGNET)
    if kegnet is None:
        raise ConfigError(
            f"{config.file}: [{section}] uuid: is missing, and there is no [KegNet] to take it from; write one for "
            "this device alone (uuidgen)"
        )
    return kegnet.uuid


def _missing(error: ModuleNotFoundError, section: str, package: str) -> Exception:
    if error.name is None or error.name.partition(".")[0] != package:
        return error
    return ConfigError(
        f"[{section}] needs {package}: sudo ./service/install, or in a virtual environment of your own "
        f"pip install 'kegnet-client[{section.lower()}]'"
    )
