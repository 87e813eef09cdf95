"""The sections of hub.conf."""

from kegnet_client.config.settings import AnySection
from kegnet_client.hub.hub_section import HUB
from kegnet_client.hub.outlets.mqtt_section import MQTT
from kegnet_client.hub.outlets.notify_section import NOTIFY

SECTIONS: tuple[AnySection, ...] = (HUB, MQTT, NOTIFY)
"""In the order of the shipped file; each part of the hub declares its own."""

HEAD = """\
# The settings of this hub, in its directory: `kegnet-client hub init` puts this file there.
#
# A line that starts with # is a comment. All else stands here with its default: to change a setting, remove the #
# before it, write another value and start the hub again."""
