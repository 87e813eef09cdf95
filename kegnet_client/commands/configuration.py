"""The sections of client.conf, and the configuration that a command line names by ``--root`` and ``--config``."""

import argparse
import os
from pathlib import Path

from kegnet_client.config import parse
from kegnet_client.config.settings import AnySection, Config
from kegnet_client.host.root import find_root
from kegnet_client.producers.flow_meter_section import FLOW_METER
from kegnet_client.producers.kegboard_section import KEGBOARD
from kegnet_client.producers.led_section import LED
from kegnet_client.producers.local_events_section import LOCAL_EVENTS
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.runner.section import RUNNER
from kegnet_client.sinks.kegbot_section import KEGBOT
from kegnet_client.sinks.kegnet_section import KEGNET
from kegnet_client.sinks.mqtt_section import MQTT
from kegnet_client.sinks.xively_section import XIVELY
from kegnet_client.spool.section import SPOOL

SECTIONS: tuple[AnySection, ...] = (
    KEGNET,
    KEGBOT,
    MQTT,
    XIVELY,
    SPOOL,
    THERMOMETER,
    KEGBOARD,
    LOCAL_EVENTS,
    FLOW_METER,
    LED,
    RUNNER,
)
"""In the order of the shipped file."""


def root(options: argparse.Namespace) -> Path:
    """The device's root."""
    return find_root(options.root, os.environ)


def load(options: argparse.Namespace) -> Config:
    """The device's configuration. Raises `ConfigError`."""
    return parse.load(root(options), options.config, SECTIONS)
