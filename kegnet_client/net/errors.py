"""What a failed exchange means to a person: which of name, network, TLS or server it was, and what to fix."""

import http.client
import socket
import ssl
from datetime import UTC, datetime

from kegnet_client.core.errors import TransportError, UntrustedServerError

_X509_NOT_YET_VALID = 9
_X509_EXPIRED = 10
_X509_WRONG_NAME = (62, 64)
_X509_SELF_SIGNED = (18, 19)
_X509_UNKNOWN_ISSUER = (2, 20, 21)


def explain_failure(
    error: Exception, deadline_s: float, wall_ms: int, setting: str = "serviceBaseURL"
) -> TransportError:
    """What the failed exchange's ``error`` means to a person; ``wall_ms`` is the Unix time.

    ``setting`` is what says which host it is.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UntrustedServerError(_explain_certificate(cause, wall_ms, setting))
        if isinstance(cause, socket.gaierror):
            return TransportError(f"the server's name is not found ({cause.strerror})")
        if isinstance(cause, ssl.SSLError):
            return TransportError(f"TLS failed ({cause.reason or cause.strerror or cause})")
        if isinstance(cause, http.client.RemoteDisconnected):
            return TransportError("the connection broke (the server closed it without an answer)")
        if isinstance(cause, TimeoutError):
            return TransportError(f"no answer within {deadline_s:g} s")
        if isinstance(cause, OSError) and cause.strerror:
            return TransportError(f"no connection ({cause.strerror})")
    return TransportError(f"the connection broke ({type(error).__name__})")


def _causes(error: BaseException) -> list[BaseException]:
    """``error`` and what it was raised from; the innermost, which says most, comes first."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found[::-1]


def _explain_certificate(error: ssl.SSLCertVerificationError, wall_ms: int, setting: str) -> str:
    clock = datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    match error.verify_code:
        case code if code == _X509_NOT_YET_VALID:
            return f"the server's certificate is not valid yet: this clock says {clock}; set it if that is wrong"
        case code if code == _X509_EXPIRED:
            # OpenSSL does not say whose it is.
            return (
                f"the server's certificate has expired: renew it there, or set this clock, which says {clock}; where "
                "both are right, the CA in caBundle has expired: copy the new one there"
            )
        case code if code in _X509_WRONG_NAME:
            return f"the server's certificate is for another host: fix the host in {setting}"
        case code if code in _X509_SELF_SIGNED:
            return "the server's certificate is signed by itself or by an unknown CA: put its CA into caBundle"
        case code if code in _X509_UNKNOWN_ISSUER:
            return "the server's certificate is from a CA that is not in caBundle: put that CA there"
        case _:
            return f"the server's certificate is not good: {error.verify_message}"
