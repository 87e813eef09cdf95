"""A Kegbot server to deliver to: its section in client.conf, and the file that its API key goes into.

Security: the key is a person's to put there. On a command line it would be seen by everybody here (``ps``).
"""

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from kegnet_client.config.edit import fill, render
from kegnet_client.config.parse import default_file, given, parse, read
from kegnet_client.config.settings import AnySection
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.core.wire.kegbot_api import parse_api_url
from kegnet_client.enrolment.provision import Draft, checked_ca, name_command, write
from kegnet_client.sinks.kegbot_section import KEGBOT
from kegnet_client.sinks.kegnet_section import KEGNET

_CA_FILE = "kegbot-ca.crt"


def add_kegbot(root: Path, sections: Sequence[AnySection], url: str, ca: Path | None) -> tuple[str, ...]:
    """Have the device in ``root`` deliver to the Kegbot server at ``url``, whose CA bundle is ``ca``; what is next.

    Raises `UsageError` for what was given, `ConfigError` for what was found.
    """
    try:
        api = parse_api_url(url)
    except ValueError as error:
        raise UsageError(f"--kegbot {url!r}: {error}") from None
    files: list[tuple[Path, bytes, int]] = []
    root = root.absolute()
    file = default_file(root)
    text = read(file) if os.path.lexists(file) else render(sections)
    for field, name in (("api", "apiUrl"), ("ca_bundle", "caBundle")):
        if field in given(text, KEGBOT) and (field == "api" or ca is not None):
            raise ConfigError(
                f"{file}: [Kegbot] {name}: is already set and was not changed; put a # before it, then run init again"
            )
    values = {"api": url}
    if "uuid" not in given(text, KEGNET) | given(text, KEGBOT):
        values["uuid"] = str(uuid.uuid4())
    if ca is not None:
        values["ca_bundle"] = f"conf/{_CA_FILE}"
        files.append((file.with_name(_CA_FILE), checked_ca(ca), 0o644))
    text = fill(text, KEGBOT, values)
    config = parse(text, sections, root, file)
    key = config.section(KEGBOT).api_key_file
    has_key = os.path.lexists(key)
    if not has_key:
        files.append((key, b"", 0o600))
    for path, _, _ in files:
        if os.path.lexists(path):
            raise ConfigError(f"{path}: already exists and was not changed; move it away, then run init again")
    write(Draft("init", text, config), files)
    if not has_key and os.geteuid() == 0 and (root / "spool").is_dir():
        owner = (root / "spool").stat()  # the user that delivers
        os.chown(key, owner.st_uid, owner.st_gid)
    return (
        f"Put the API key of somebody on the staff of {api.host} on the first line of {key}; a server of 2.0 wants "
        "none, and is told on its page of Kegboards to allow this device.",
        f"Then see whether all is well: {name_command(root)} check",
    )
