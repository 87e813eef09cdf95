"""The section [Kegbot]: a Kegbot server that gets the pours and the temperatures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path
from kegnet_client.core.wire.base_url import ServerUrl
from kegnet_client.core.wire.kegbot_api import parse_api_url, parse_meter_names
from kegnet_client.sinks.kegnet_section import SINK, to_ca_bundle, to_uuid


@dataclass(frozen=True, slots=True)
class KegbotSettings:
    """What the section says; without a ``uuid`` it is that of [KegNet]."""

    api: ServerUrl
    api_key_file: Path
    taps: Mapping[int, str] | None
    ca_bundle: Path
    journal: Path
    uuid: str | None


def _to_api(text: str, _root: Path) -> ServerUrl:
    return parse_api_url(text)


def _to_taps(text: str, _root: Path) -> Mapping[int, str]:
    return parse_meter_names(text)


KEGBOT = Section(
    "Kegbot",
    KegbotSettings,
    (
        Setting(
            "api",
            "apiUrl",
            (
                "A Kegbot server that gets the records, too, or instead of KegNet. Unless set, none does. It must be",
                "https; plain http is for a server on this same machine.",
            ),
            _to_api,
            example="https://kegbot.example/api",
            required=True,
        ),
        Setting(
            "api_key_file",
            "apiKeyFile",
            (
                "The file whose first line is the API key of somebody on the staff there. Only this user and its group",
                "may read it. A server of 2.0 wants none.",
            ),
            to_path,
            default="conf/kegbot-key",
        ),
        Setting(
            "taps",
            "taps",
            (
                "Which meter of the server's each pin is. A pin that is not named is the one meter there whose name",
                "ends in .flow and the pin. It says nothing to a server of 2.0, where this device has its own meters.",
            ),
            _to_taps,
            example="0:kegboard.flow0, 1:kegboard.flow1",
        ),
        Setting(
            "ca_bundle",
            "caBundle",
            ("The file with the certificates (CA) that vouch for the server, or the word system, as for KegNet.",),
            to_ca_bundle,
            default="system",
        ),
        Setting(
            "journal",
            "journal",
            (
                "The directory that holds what is on its way to the server, so that no pour becomes two drinks there,",
                "and what a server of 2.0 knows this device by.",
                "Its own directory; it is made where it is missing.",
            ),
            to_path,
            default="spool/.kegbot",
        ),
        Setting(
            "uuid",
            "uuid",
            ("Which device this is. Unless set, it is the uuid of [KegNet].",),
            to_uuid,
            example="00000000-0000-4000-8000-000000000000",
        ),
    ),
    one_of=SINK,
)
