"""Something that is wrong for a while: one line in the log when it begins, one when it ends, none for a try between."""

import logging
from collections.abc import Mapping


class Condition:
    """Says to ``log`` what lasts. ``text`` is what is wrong at the moment, None when nothing is."""

    def __init__(self, log: logging.Logger) -> None:
        self.text: str | None = None
        self._log = log
        self._key: object = None

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
        if self.text is None or key != self._key:
            self._log.log(level, "%s", line or text, extra=extra)
        self.text, self._key = text, key

    def end(self, line: str = "", *, level: int = logging.INFO) -> None:
        """It is right again, which ``line`` says if it was wrong before."""
        if self.text is not None and line:
            self._log.log(level, "%s", line)
        self.text = self._key = None
