"""What one attempt at a submission can end in, and what each ending means. Pure; the memory is in `state.py`.

| ending | reason | state | the bundle |
|---|---|---|---|
| 200 with the right proof id | accepted | ok | delivered |
| 200 with another proof id | receipt_mismatch | blocked:gate | stays; an alarm |
| 200 with HTML, 3xx, 511 | captive_portal | blocked:network | stays; never followed, never a receipt |
| 200 without a receipt or not as JSON, other 2xx, no HTTP | malformed_response | slow:server | stays |
| 400, 422 | refused_400, refused_422 | ok, then blocked:rejected-all | its own only if another was accepted since |
| 401 | unauthorised | blocked:auth | stays; the key is read again first |
| 402, 429 | quota_exceeded, rate_limited | blocked:quota | stays; Retry-After is honoured |
| 403, 451 | gate_closed | blocked:gate | stays |
| 404, 405 and every other 4xx | endpoint_missing | blocked:gate | stays |
| 408, 425, no answer in time | response_timeout | slow:server | stays |
| 413 | too_large | ok, then blocked:rejected-all | sealed again in smaller ones; a single reading: as a 400 |
| 500 | server_error | slow:server | its own only if it repeats while others pass |
| 501 to 599 but 511 | server_unavailable | slow:server | stays |
| connection cut after TLS | cut_off | slow:server | stays |
| no certificate of the chain is pinned | pin_mismatch | blocked:pin | stays; 0 bytes were sent |
| the signed pin set has ended | pins_expired | blocked:pin | stays; 0 bytes were sent |
| certificate of the future, clock not synchronised | clock_untrusted | blocked:clock | stays; 0 bytes were sent |
| TLS failed otherwise | certificate_*, client_certificate_refused, tls_failed | blocked:tls | stays |
| no connection | name_not_resolved, unreachable, proxy_refused | blocked:dns, network | stays |
| key file not usable | credential_unreadable | blocked:auth | stays |
| an operator locked submission | incident_locked | blocked:incident | stays; what is under way is broken off |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What the operator sees."""

    OK = "ok"
    AUTH = "blocked:auth"
    GATE = "blocked:gate"
    PIN = "blocked:pin"
    TLS = "blocked:tls"
    CLOCK = "blocked:clock"
    DNS = "blocked:dns"
    NETWORK = "blocked:network"
    QUOTA = "blocked:quota"
    REJECTED_ALL = "blocked:rejected-all"
    INCIDENT = "blocked:incident"
    SLOW = "slow:server"


class Blame(StrEnum):
    """Whose fault an ending can be."""

    PATH = "path"  # the bundle was not judged: nothing about it can be learned
    SERVER = "server"  # someone answered, or broke off: never the bundle's fault, but others may pass
    SUSPECT = "suspect"  # 500: the server's, unless it is this bundle's alone
    ITEM = "item"  # 400, 413, 422: the bundle's, if others are accepted


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reason means. `remedy` is one line for the operator."""

    state: State
    blame: Blame
    remedy: str


_SERVER_TROUBLE = "nothing to do here: it is tried again more slowly; tell the server's operator if it lasts"
_CERTIFICATE = "compare the server's certificate with collector.url and collector.ca_file"

VERDICTS: dict[str, Verdict] = {
    "unauthorised": Verdict(
        State.AUTH, Blame.PATH, "the server refuses the API key: write a valid one into collector.api_key_file"
    ),
    "credential_unreadable": Verdict(
        State.AUTH, Blame.PATH, "collector.api_key_file or wallet_file cannot be used: `actod check` says what is wrong"
    ),
    "gate_closed": Verdict(
        State.GATE, Blame.SERVER, "the server's token gate refuses (403): check the wallet, or wait for the server's backend"
    ),
    "endpoint_missing": Verdict(
        State.GATE, Blame.SERVER, "the server does not know this request: check the path in collector.url and its version"
    ),
    "receipt_mismatch": Verdict(
        State.GATE, Blame.SERVER, "the server confirmed another proof than the one sent: tell its operator at once"
    ),
    "pin_mismatch": Verdict(
        State.PIN,
        Blame.PATH,
        "no certificate of the server's chain is pinned: if its keys were changed on purpose, update collector.pins; "
        "else someone is in between",
    ),
    "pins_expired": Verdict(
        State.PIN, Blame.PATH, "the signed pin set has ended: put a newer one at collector.pin_set.file (docs/pins.md)"
    ),
    "certificate_expired": Verdict(
        State.TLS, Blame.PATH, "the server's certificate has expired, or this machine's clock is ahead: check both"
    ),
    "certificate_not_yet_valid": Verdict(
        State.TLS, Blame.PATH, "the server's certificate is not valid yet by a synchronised clock: tell its operator"
    ),
    "certificate_wrong_name": Verdict(
        State.TLS, Blame.PATH, "the server's certificate is for another name: " + _CERTIFICATE
    ),
    "certificate_untrusted": Verdict(
        State.TLS, Blame.PATH, "the server's certificate is not signed by a CA that we trust: " + _CERTIFICATE
    ),
    "certificate_invalid": Verdict(State.TLS, Blame.PATH, "the server's certificate does not validate: " + _CERTIFICATE),
    "client_certificate_refused": Verdict(
        State.TLS, Blame.PATH, "the server wants another client certificate: check collector.certificate_file"
    ),
    "tls_failed": Verdict(
        State.TLS, Blame.PATH, "no TLS 1.2 or newer with this server: check what listens at collector.url"
    ),
    "clock_untrusted": Verdict(
        State.CLOCK,
        Blame.PATH,
        "the server's certificate is not valid yet by this machine's clock, which is not synchronised: "
        "wait for NTP, or set the clock",
    ),
    "name_not_resolved": Verdict(
        State.DNS, Blame.PATH, "the server's name is not found: check the DNS resolver and collector.url"
    ),
    "unreachable": Verdict(
        State.NETWORK, Blame.PATH, "the server cannot be reached: check network, firewall and collector.url"
    ),
    "proxy_refused": Verdict(
        State.NETWORK, Blame.PATH, "the proxy does not open a tunnel to the server: check collector.proxy and its rules"
    ),
    "captive_portal": Verdict(
        State.NETWORK,
        Blame.SERVER,
        "a web page or a redirect answers in the collector's place: check the network and collector.url",
    ),
    "incident_locked": Verdict(
        State.INCIDENT, Blame.PATH, "an operator locked submission: when the incident is over, `actod incident unlock`"
    ),
    "rate_limited": Verdict(
        State.QUOTA, Blame.SERVER, "the server's rate limit is used up: it is tried again when the server allows it"
    ),
    "quota_exceeded": Verdict(
        State.QUOTA, Blame.SERVER, "the server says that the account's quota is used up: raise it there"
    ),
    "server_error": Verdict(State.SLOW, Blame.SUSPECT, "the server fails or limits the rate (500): " + _SERVER_TROUBLE),
    "server_unavailable": Verdict(State.SLOW, Blame.SERVER, "the server is not available (5xx): " + _SERVER_TROUBLE),
    "response_timeout": Verdict(State.SLOW, Blame.SERVER, "the server does not answer in time: " + _SERVER_TROUBLE),
    "cut_off": Verdict(State.SLOW, Blame.SERVER, "the connection breaks before the answer: " + _SERVER_TROUBLE),
    "malformed_response": Verdict(
        State.SLOW, Blame.SERVER, "the server's answer is no receipt: check that collector.url is an ACTO server"
    ),
    "refused_400": Verdict(
        State.REJECTED_ALL,
        Blame.ITEM,
        "the server rejects every bundle (400): check its version and log; nothing is set aside",
    ),
    "refused_422": Verdict(
        State.REJECTED_ALL,
        Blame.ITEM,
        "the server rejects every bundle (422): check its version and log; nothing is set aside",
    ),
    "too_large": Verdict(
        State.REJECTED_ALL, Blame.ITEM, "the server, or a proxy before it, takes only smaller bundles (413): raise its limit"
    ),
}

_BY_STATUS = {
    400: "refused_400",
    401: "unauthorised",
    402: "quota_exceeded",
    403: "gate_closed",
    408: "response_timeout",
    413: "too_large",
    422: "refused_422",
    425: "response_timeout",
    429: "rate_limited",
    451: "gate_closed",
    500: "server_error",
    511: "captive_portal",
}


def reason_of_status(status: int) -> str:
    """Name what a status other than 200 means. Total: every integer has a reason."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    classes = {3: "captive_portal", 4: "endpoint_missing", 5: "server_unavailable"}
    return classes.get(status // 100, "malformed_response")
