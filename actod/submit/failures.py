"""Why a request did not get an answer: the one place where httpx, ssl and socket errors become reasons."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

from actod.submit.pins import PinMismatchError

_NOT_YET_VALID = 9  # X509_V_ERR_*, <openssl/x509_vfy.h>
_CERTIFICATE = {
    _NOT_YET_VALID: "certificate_not_yet_valid",
    10: "certificate_expired",
    2: "certificate_untrusted",  # no issuer
    18: "certificate_untrusted",  # self-signed
    19: "certificate_untrusted",  # self-signed in the chain
    20: "certificate_untrusted",  # no local issuer
    21: "certificate_untrusted",  # the first certificate cannot be verified
    62: "certificate_wrong_name",
    64: "certificate_wrong_name",  # address
}
# An end of the connection, and the signal that more bytes are needed: it stays behind as the context of whatever follows.
_NOT_A_TLS_FAILURE = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)
_ABOUT_OUR_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED")


def reason_of(exc: BaseException, *, secured: bool, synchronised: bool | None) -> str:
    """Return a key of VERDICTS. `secured`: the TLS handshake had succeeded, so what broke came after it.

    `synchronised` is the Clock's: a certificate of the future under a clock that nobody set is the clock's fault.
    """
    for cause in _causes(exc):
        reason = _reason_of_cause(cause, synchronised=synchronised)
        if reason:
            return reason
    if not secured:
        return "unreachable"
    if isinstance(exc, TimeoutError | httpx.TimeoutException):
        return "response_timeout"
    return "malformed_response" if _is_no_http(exc) else "cut_off"


def _reason_of_cause(cause: BaseException, *, synchronised: bool | None) -> str:
    """Return what one exception of a chain says by itself, "" if nothing."""
    if isinstance(cause, PinMismatchError):
        return cause.verdict
    if isinstance(cause, ssl.SSLCertVerificationError):
        early = cause.verify_code == _NOT_YET_VALID and synchronised is not True
        return "clock_untrusted" if early else _CERTIFICATE.get(cause.verify_code, "certificate_invalid")
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, _NOT_A_TLS_FAILURE):
        alert = "ALERT" in (cause.reason or "") and (cause.reason or "").endswith(_ABOUT_OUR_CERTIFICATE)
        return "client_certificate_refused" if alert else "tls_failed"
    if isinstance(cause, socket.gaierror):
        return "name_not_resolved"
    return "proxy_refused" if isinstance(cause, httpx.ProxyError) else ""


def seen_pins(exc: BaseException) -> tuple[str, ...]:
    """Return the pins that a server showed in a handshake that failed for them."""
    return next((cause.seen for cause in _causes(exc) if isinstance(cause, PinMismatchError)), ())


def _is_no_http(exc: BaseException) -> bool:
    """Whether the peer spoke, but not HTTP. A connection that ends early is reported by the same class."""
    return isinstance(exc, httpx.RemoteProtocolError) and not any(
        word in str(exc) for word in ("disconnected", "closed connection", "ConnectionClosed")
    )


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Walk an exception, what it was raised from, and the members of groups, each once."""
    waiting, seen = [exc], set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [cause for cause in (current.__cause__, current.__context__) if cause is not None]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
