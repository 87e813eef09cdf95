"""What ``enroll`` and ``rotate-key`` ask of a hub, and how its answers are told to a person."""

import json
from collections.abc import Callable

from kegnet_client.core.wire import enrolment as wire
from kegnet_client.core.wire.answer import Answer, quote

Post = Callable[[str, str, bytes], Answer]


def call(post: Post, url: str, **fields: str) -> Answer:
    """The answer to ``fields`` as JSON."""
    return post(url, wire.CONTENT_TYPE, json.dumps(fields).encode("ascii"))


def describe(answer: Answer) -> str:
    """What the hub said, on one line."""
    return f"it answered {answer.status}{quote(answer.body)}"
