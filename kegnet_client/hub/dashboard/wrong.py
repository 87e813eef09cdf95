"""Why something is refused, in the words of a page."""

from pydantic import ValidationError

from kegnet_client.hub.dashboard.words import Words
from kegnet_client.hub.domain.refusal_texts import RefusalError, WrongUseError, WrongValueError
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.entries import ChangedError


def tell_why(words: Words, error: Exception) -> str:
    """What ``error`` says, in the language of ``words``."""
    match error:
        case ValidationError():
            return _tell_first(words, error)
        case RefusalError() | WrongUseError() | WrongValueError():
            return error.tell(words.language)
        case StoreError():
            return words("store_away")
        case ChangedError():
            return words("changed_meanwhile")
        case _:
            return str(error)


def _tell_first(words: Words, error: ValidationError) -> str:
    """What is wrong with the first field that is."""
    first = error.errors()[0]
    context = first.get("ctx", {})
    cause, name = context.get("error"), f"wrong_{first['type']}"
    if isinstance(cause, WrongValueError):
        why = cause.tell(words.language)
    else:
        why = words(name, **context) if name in words else words("wrong_value")
    if not first["loc"]:
        return why
    field = str(first["loc"][0])
    return f"{words(f'field_{field}') if f'field_{field}' in words else field}: {why}"
