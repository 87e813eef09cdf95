"""The section [KegNet]: the device, its key, and the server that it delivers to."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import MAKE_DEVICE, Section, Setting, to_path, to_seconds
from kegnet_client.core.wire.base_url import BaseUrl, parse_base_url
from kegnet_client.core.wire.forms import is_uuid
from kegnet_client.net.tls import SYSTEM_CA_BUNDLE

DEFAULT_PING_INTERVAL_S = 600
SINK = "sink"
"""What the sections of sinks are one of."""


@dataclass(frozen=True, slots=True)
class KegNetSettings:
    """What the section says."""

    uuid: str
    base: BaseUrl
    private_key: Path
    ca_bundle: Path
    ping_interval_s: int
    deadline_s: int


def to_uuid(text: str, _root: Path) -> str:
    """A device's uuid, as it is spelled."""
    if not is_uuid(text):
        raise ValueError("is not a uuid; write it as 8-4-4-4-12 hexadecimal digits, as the server knows this device")
    return text


def _to_base(text: str, _root: Path) -> BaseUrl:
    return parse_base_url(text)


def to_ca_bundle(text: str, root: Path) -> Path:
    """A file of certificates, or the word for the system's own."""
    return SYSTEM_CA_BUNDLE if text == "system" else root / text


KEGNET = Section(
    "KegNet",
    KegNetSettings,
    (
        Setting(
            "uuid",
            "uuid",
            ("Which device this is, as the server knows it. It is sent exactly as it stands here.",),
            to_uuid,
            example="00000000-0000-4000-8000-000000000000",
            required=True,
            command=MAKE_DEVICE,
        ),
        Setting(
            "base",
            "serviceBaseURL",
            (
                "The KegNet server. The end of it is the protocol to speak: /rest/v1, /rest/v2 or /rest/v3.",
                "It must be https; plain http is for a server on this same machine.",
            ),
            _to_base,
            example="https://kegnet.example/rest/v3",
            required=True,
            command=MAKE_DEVICE,
        ),
        Setting(
            "private_key",
            "privateKey",
            ("The file with this device's private key. Nobody but its owner may read it, and it never leaves here.",),
            to_path,
            default="conf/privkey.pem",
        ),
        Setting(
            "ca_bundle",
            "caBundle",
            (
                "The file with the certificates (CA) that vouch for the server; no others are trusted. The word",
                f"system stands for those that every public web site uses: {SYSTEM_CA_BUNDLE}",
            ),
            to_ca_bundle,
            default="conf/ca.crt",
        ),
        Setting(
            "ping_interval_s",
            "pingInterval",
            ("Seconds from one temperature to the next, 1 to 86400 (a day).",),
            to_seconds(86400),
            default=str(DEFAULT_PING_INTERVAL_S),
        ),
        Setting(
            "deadline_s",
            "deadline",
            ("Seconds that the server may take for one answer, 1 to 30. After that it is tried again later.",),
            to_seconds(30),
            default="10",
        ),
    ),
    one_of=SINK,
)
