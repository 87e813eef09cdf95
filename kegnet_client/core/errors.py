"""What can go wrong, one class per remedy.

A message says what is wrong, where, and what to do about it; whoever catches one prints it as it is.
``exit_code`` is what the command line ends with (sysexits.h).
"""

from collections.abc import Iterable


class KegnetError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1


class UsageError(KegnetError):
    """The command was called wrongly: call it again, corrected."""

    exit_code = 64


class RecordError(KegnetError):
    """A record is not what its producer meant to write: fix the producer, the bytes are kept."""

    exit_code = 65


class DocumentError(KegnetError):
    """A document for devices is not one that may run: fix it, and sign it anew."""

    exit_code = 65


class RunnerError(KegnetError):
    """Programs cannot be run here now: fix what the message names."""

    exit_code = 75


class SpoolError(KegnetError):
    """The spool cannot take a record now: make room or make it writable, then try again."""

    exit_code = 75


class SpoolInUseError(KegnetError):
    """Another instance delivers from this spool: stop that one first."""

    exit_code = 75


class TransportError(KegnetError):
    """The server could not be reached: wait, the record stays in the spool."""

    exit_code = 75


class ClockError(KegnetError):
    """This machine's clock cannot be trusted: set it, then try again."""

    exit_code = 75


class ThermometerError(KegnetError):
    """A thermometer gives no reading: see to its wiring; pours go on meanwhile."""

    exit_code = 75


class UntrustedServerError(TransportError):
    """What answered did not prove to be the server: fix the CA bundle, the URL or the clock."""

    exit_code = 77


class LineError(KegnetError):
    """A GPIO line cannot be read: see to what the message names; the other meters go on."""

    exit_code = 75


class BoardError(KegnetError):
    """A Kegboard cannot be reached, or what is there is none: plug it in, or fix what the message names."""

    exit_code = 75


class SourceError(KegnetError):
    """What others would tell cannot be heard: see to what the message names."""

    exit_code = 75


class DaemonError(KegnetError):
    """It cannot go on without the terminal: see to the pid file."""

    exit_code = 75


class ControllerError(KegnetError):
    """A controller of temperatures does not answer as one: see to it and to its entry; the others go on.

    ``template`` has the places of ``fields``, so that it can be told in another language, too.
    """

    exit_code = 75

    def __init__(self, template: str, **fields: object) -> None:
        super().__init__(template.format(**fields))
        self.template = template
        self.fields = fields


class ServerRefusalError(KegnetError):
    """The server refuses this device or what it asks for: fix what the message names."""

    exit_code = 77


class ConfigError(KegnetError):
    """The configuration, the key or the CA bundle is unusable: fix what ``faults`` names.

    ``faults`` holds one line per fault, so that a person fixes all of them in one go.
    """

    exit_code = 78

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))
