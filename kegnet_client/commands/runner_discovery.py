"""Discovery as a part of ``kegnet-client runner``: who this device says it is, and the server that it was told."""

import logging
import signal
import threading
from collections.abc import Mapping
from typing import Any

from kegnet_client.config.settings import Config
from kegnet_client.core.errors import ConfigError, DocumentError
from kegnet_client.host.clock import Clock
from kegnet_client.host.state_file import StateFile
from kegnet_client.runner.announcement import Announcements
from kegnet_client.runner.discovery import Responder
from kegnet_client.runner.identity import Identity
from kegnet_client.runner.section import RunnerSettings
from kegnet_client.runner.trust import ALLOWED, REVOKED, Trust

_log = logging.getLogger(__name__)


class Discovery:
    """``has_news`` once a server was announced; the main thread, which makes this, gets SIGTERM then."""

    def __init__(self, config: Config, settings: RunnerSettings, identity: Identity) -> None:
        self.has_news = False
        self._has_url = settings.url is not None
        self._clock = Clock()
        self._main = threading.get_ident()
        conf = config.root / "conf"
        self._announcements = Announcements(settings.directory, identity.names, Trust(conf / ALLOWED, conf / REVOKED))
        # The key itself is not for this user; its fingerprint is what the daemon says, if it runs.
        said = StateFile(config.root).read() or {}
        answer = {"MacID": identity.mac_id, "uuid": identity.uuid, "fingerprint": said.get("key")}
        self.responder = Responder(answer, self._take)

    def server(self) -> str | None:
        """The server that was announced, if who did that may still sign."""
        try:
            return self._announcements.server()
        except (DocumentError, ConfigError) as error:
            _log.warning("the server that was announced is not used: %s", error)
            return None

    def _take(self, document: Mapping[str, Any]) -> None:
        if self._has_url:
            _log.info("an announcement is left: [Runner] url says which server it is")
            return
        try:
            if doubt := self._clock.doubt():
                raise DocumentError(doubt)
            server = self._announcements.take(document, self._clock.wall_ms())
        except (DocumentError, ConfigError, OSError) as error:
            _log.warning("an announcement is refused: %s", error)
            return
        if server is not None:
            _log.info("the server of programs is %s now", server)
            self.has_news = True
            signal.pthread_kill(self._main, signal.SIGTERM)
