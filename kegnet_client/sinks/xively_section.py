"""The section [Xively]: a server that speaks Xively's API v2."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path
from kegnet_client.core.wire.xively import parse_api_url, parse_feed_id
from kegnet_client.sinks.kegnet_section import SINK, to_ca_bundle


@dataclass(frozen=True, slots=True)
class XivelySettings:
    """What the section says."""

    api_url: str
    feed_id: int
    api_key_file: Path
    ca_bundle: Path


def _to_api_url(text: str, _root: Path) -> str:
    return parse_api_url(text)


def _to_feed_id(text: str, _root: Path) -> int:
    return parse_feed_id(text)


XIVELY = Section(
    "Xively",
    XivelySettings,
    (
        Setting(
            "api_url",
            "apiUrl",
            (
                "A server that speaks Xively's API v2 and gets the records, too, or instead of KegNet. Unless set,",
                "none does. It must be https; plain http is for a server on this same machine.",
            ),
            _to_api_url,
            example="https://xively.example/v2",
            required=True,
        ),
        Setting(
            "feed_id",
            "feedId",
            ("The number of the feed.",),
            _to_feed_id,
            example="123456",
            required=True,
        ),
        Setting(
            "api_key_file",
            "apiKeyFile",
            ("The file whose first line is the key of the API. Only this user and its group may read it.",),
            to_path,
            default="conf/xively-key",
        ),
        Setting(
            "ca_bundle",
            "caBundle",
            ("The file with the certificates (CA) that vouch for the server, or the word system, as for KegNet.",),
            to_ca_bundle,
            default="system",
        ),
    ),
    one_of=SINK,
)
