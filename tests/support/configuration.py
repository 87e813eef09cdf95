"""client.conf for a test: the shipped text with some settings filled in."""

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.edit import fill, render
from kegnet_client.config.settings import AnySection
from kegnet_client.producers.thermometer_section import THERMOMETER
from kegnet_client.sinks.kegnet_section import KEGNET
from kegnet_client.spool.section import SPOOL

_PLACES: dict[str, tuple[AnySection, str]] = {
    "spool": (SPOOL, "directory"),
    "thermometer": (THERMOMETER, "directory"),
    "sensor": (THERMOMETER, "sensor"),
}


def client_conf(**settings: str) -> str:
    """The text: ``spool`` and ``thermometer`` are directories, ``sensor`` an id, all else are fields of [KegNet]."""
    text = render(SECTIONS)
    for name, value in settings.items():
        section, field = _PLACES.get(name, (KEGNET, name))
        assert field in {setting.field for setting in section.settings}
        text = fill(text, section, {field: value})
    return text
