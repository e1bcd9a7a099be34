"""What an answer means: for the bundle, for the pace, and for the state that the operator sees. Pure.

| answer | state | the bundle |
|---|---|---|
| 200 with the right proof id | ok | delivered |
| 200 with another id | blocked:receipt | stays: an alarm |
| 200 without a receipt, any 1xx to 3xx | blocked:portal | stays: someone else answered |
| 400, 422 | ok, or blocked:rejected-all | suspect: set aside once others were accepted since |
| 401 | blocked:auth | stays; the credential is read again first |
| 403 | blocked:gate | stays: the server's gate, not the bundle |
| 404, 405 | blocked:url | stays |
| 408, 425, 429, 502, 503, 504 | slow:server | stays; Retry-After is honoured |
| 413 | ok | too large: sealed again in smaller ones, or set aside |
| 500 | slow:server | slow down; its own 500 thrice, with others accepted between, counts as a 400 |
| other 4xx, 501 to 599 | blocked:server | stays |
| name not found / no route, refused, reset, timed out | blocked:dns / blocked:network | stays |
| no certificate of the chain is pinned | blocked:pin | stays, 0 bytes were sent |
| certificate not yet valid while the clock is not synchronised | blocked:clock | stays |
| any other TLS failure | blocked:tls | stays |
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actod.errors import ActodError, RejectedError, SuspectError, TransientError

OK = "ok"
REJECTED_ALL = "blocked:rejected-all"
_SLOW = {408, 425, 429, 502, 503, 504}
_OWN_500S = 3
_MOST_SUSPECTS = 1024

REMEDIES = {
    OK: "nothing is wrong",
    "blocked:auth": "the server refuses the API key: put a valid one into collector.api_key_file",
    "blocked:gate": "the server's token gate refuses: check the wallet, or wait for the server",
    "blocked:pin": "no certificate of the server's chain is pinned: compare collector.pins with the server's certificate",
    "blocked:tls": "the server's certificate does not validate: check its expiry, its name and collector.ca_file",
    "blocked:clock": "the certificate is not valid yet by this machine's clock, which is not synchronised: wait, or set it",
    "blocked:dns": "the server's name is not found: check DNS and collector.url",
    "blocked:network": "the server cannot be reached: check the network, the firewall and collector.url",
    "blocked:portal": "something else answers in the server's place (captive portal, wrong URL): check the network",
    "blocked:url": "the server does not know the path: check collector.url",
    "blocked:receipt": "the server confirmed another proof than the one that was sent: tell its operator",
    "blocked:server": "the server answers with an error that is not the bundle's: wait, or tell its operator",
    REJECTED_ALL: "the server rejects every bundle: check its version and its log; nothing is set aside",
    "slow:server": "the server asks to slow down: nothing to do",
}


@dataclass(slots=True)
class Suspect:
    """What is held against one bundle: a number of acceptances seen at its last failure, and failures that count."""

    seen_accepted: int
    own_failures: int = 0


@dataclass(slots=True)
class Verdicts:
    """Told of each answer, says what it means. `state` is what the operator sees."""

    state: str = OK
    accepted: int = 0
    _suspects: dict[str, Suspect] = field(default_factory=dict)

    def delivered(self, proof_id: str) -> None:
        """Note a receipt."""
        self.state = OK
        self.accepted += 1
        self._suspects.pop(proof_id, None)

    def failed(self, state: str, *, retry_after_seconds: float | None = None) -> TransientError:
        """Note a failure that is never the bundle's."""
        self.state = state
        return TransientError(state, retry_after_seconds=retry_after_seconds)

    def answered(self, proof_id: str, status: int, *, retry_after_seconds: float | None = None) -> ActodError:
        """Judge an answer other than 200; return what is to be raised."""
        if status in {400, 422}:
            return self._rejected(proof_id, f"status_{status}")
        if status == 413:  # noqa: PLR2004 - content too large
            return RejectedError("too_large")
        if status == 500:  # noqa: PLR2004 - see the table
            return self._own_500(proof_id)
        named = {401: "blocked:auth", 403: "blocked:gate", 404: "blocked:url", 405: "blocked:url"}
        if status in _SLOW:
            state = "slow:server"
        elif status < 400:  # noqa: PLR2004 - informational, success without a receipt, redirect
            state = "blocked:portal"
        else:
            state = named.get(status, "blocked:server")
        return self.failed(state, retry_after_seconds=retry_after_seconds)

    def _rejected(self, proof_id: str, reason: str) -> ActodError:
        suspect = self._suspects.get(proof_id)
        if suspect is not None and self.accepted > suspect.seen_accepted:
            self._suspects.pop(proof_id)
            return RejectedError(reason)
        self._suspect(proof_id)
        if len(self._suspects) > 1 and self.state != OK:
            self.state = REJECTED_ALL
        elif self.state == OK:
            self.state = "slow:server" if len(self._suspects) == 1 else REJECTED_ALL
        return SuspectError(self.state if self.state != OK else "slow:server")

    def _own_500(self, proof_id: str) -> ActodError:
        suspect = self._suspect(proof_id, keep=True)
        if self.accepted > suspect.seen_accepted:
            suspect.own_failures += 1
            suspect.seen_accepted = self.accepted
        if suspect.own_failures >= _OWN_500S:
            self._suspects.pop(proof_id)
            return RejectedError("status_500")
        self.state = "slow:server"
        return SuspectError(self.state)

    def _suspect(self, proof_id: str, *, keep: bool = False) -> Suspect:
        if len(self._suspects) >= _MOST_SUSPECTS:
            self._suspects.pop(next(iter(self._suspects)))
        if keep and proof_id in self._suspects:
            return self._suspects[proof_id]
        return self._suspects.setdefault(proof_id, Suspect(self.accepted))
