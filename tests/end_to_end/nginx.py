"""A TLS server that is not ours."""

import queue
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Nginx:
    """nginx in front of an application that records what it gets and how the spool looks at that moment."""

    port: int
    ca: Path
    bodies: Path
    received: "queue.Queue[tuple[str, bytes, set[str]]]" = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/rest/v2"
