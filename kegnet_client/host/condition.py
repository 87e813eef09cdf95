"""Something that is wrong for a while: one line in the log when it begins, one when it ends, none for a try between."""

import logging
import threading
from collections.abc import Mapping


class Condition:
    """Says to ``log`` what lasts; for any thread. ``text`` is what is wrong at the moment, None when nothing is."""

    def __init__(self, log: logging.Logger) -> None:
        self.text: str | None = None
        self._log = log
        self._key: object = None
        self._lock = threading.Lock()

    def begin(
        self,
        text: str,
        line: str = "",
        *,
        key: object = None,
        level: int = logging.WARNING,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """``text`` is wrong. ``line``, or else ``text``, is logged once, and again when ``key`` is another."""
        with self._lock:
            is_news = self.text is None or key != self._key
            self.text, self._key = text, key
        if is_news:
            self._log.log(level, "%s", line or text, extra=extra)

    def end(self, line: str = "", *, level: int = logging.INFO) -> None:
        """It is right again, which ``line`` says if it was wrong before."""
        with self._lock:
            was_wrong = self.text is not None
            self.text = self._key = None
        if was_wrong and line:
            self._log.log(level, "%s", line)
