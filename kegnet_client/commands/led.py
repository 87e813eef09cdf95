"""``kegnet-client led``: show on an LED how the delivery stands."""

import argparse
import functools
import os

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.producing import ProducerProcess, add_daemon_arguments, detach
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import ConfigError
from kegnet_client.host.clock import Clock
from kegnet_client.host.log import set_up
from kegnet_client.host.state_file import StateFile
from kegnet_client.producers.gpio_line import GpioLamp
from kegnet_client.producers.kernel_led import KernelLed
from kegnet_client.producers.led_section import LED, LedSettings
from kegnet_client.producers.status_led import Lamp, StatusLed

KIND = "led"


def add_arguments(parser: Parser) -> None:
    """Add what ``led`` takes."""
    add_daemon_arguments(parser)


def handle(options: argparse.Namespace) -> int:
    """Show it until SIGTERM or SIGINT."""
    set_up(os.environ)
    config = configuration.load(options)
    label, settings = _judge(config)
    detached = detach(options, KIND, config.root)
    clock = Clock()
    process = ProducerProcess(KIND, config.root, clock, detached)
    changed = functools.partial(process.tell, label)
    open_lamp = functools.partial(_open, settings)
    process.add(label, StatusLed(label, open_lamp, StateFile(config.root).read, changed, clock))
    return process.run()


def _judge(config: Config) -> tuple[str, LedSettings]:
    settings = config.section(LED)
    if settings.name and settings.line:
        raise ConfigError(f"{config.file}: [Led] has a name and a line; an LED is one or the other: delete one of them")
    if settings.label is None:
        raise ConfigError(f"{config.file}: [Led] names no LED: write name = one that ls {settings.directory} shows")
    return settings.label, settings


def _open(settings: LedSettings) -> Lamp:
    if settings.line:
        return GpioLamp(settings.line, settings.chip)
    return KernelLed(settings.name or "", settings.directory)
