"""Which fault strikes which request. A fault is a JSON object: `kind`, what it does, and whom it strikes.

| kind | members | what happens |
|---|---|---|
| status | status, headers {}, body | answers so, without looking at the request |
| rate_limit | per_second, burst | the documented one: 500 in text/plain, then the next request on the connection is reset |
| delay | seconds | waits before it answers |
| cut | at: before_tls, after_tls, request, before_response, within_response | closes there (`bytes` of the request read) |
| lost_response | | stores the proof, and closes without an answer |
| wrong_receipt, malformed, huge | | a 200 that is no receipt |
| slow_body | seconds | sends 16 bytes at a time, so many seconds apart |
| portal | status 302 or 200 | a captive portal's answer |
| too_large | bytes | 413 above that size of the body |

Whom: `p` (share of requests, by `seed`), `next` (the next N), `proof_ids` (those), else everyone. The first that strikes
counts.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EARLY = {"before_tls", "after_tls", "request"}


@dataclass
class Fault:
    """One fault and its own source of chance."""

    spec: dict[str, Any]
    chance: random.Random
    left: int | None
    tokens: float = 0.0
    at: float = field(default_factory=time.monotonic)

    def strikes(self, *, proof_id: str = "") -> bool:
        """Whether this request is struck."""
        if self.spec.get("proof_ids") and proof_id not in self.spec["proof_ids"]:
            return False
        if self.chance.random() >= self.spec.get("p", 1.0):
            return False
        if self.spec["kind"] == "rate_limit" and self._has_token():
            return False
        if self.left is not None:
            if self.left <= 0:
                return False
            self.left -= 1
        return True

    def _has_token(self) -> bool:
        now, burst = time.monotonic(), float(self.spec.get("burst", 20))
        self.tokens = min(burst, self.tokens + (now - self.at) * float(self.spec.get("per_second", 5)))
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.struck: Counter[str] = Counter()

    def set(self, specs: list[dict[str, Any]]) -> None:
        """Replace all faults."""
        self._faults = [
            Fault(spec, random.Random(spec.get("seed", 0)), spec.get("next"), float(spec.get("burst", 20))) for spec in specs
        ]

    def connection(self) -> dict[str, Any] | None:
        """Return the fault that strikes a new connection before a request was read."""
        return self._first([fault for fault in self._faults if fault.spec.get("at") in EARLY], "")

    def request(self, proof_id: str) -> dict[str, Any] | None:
        """Return the fault that strikes a request that was read."""
        return self._first([fault for fault in self._faults if fault.spec.get("at") not in EARLY], proof_id)

    def _first(self, faults: list[Fault], proof_id: str) -> dict[str, Any] | None:
        for fault in faults:
            if fault.strikes(proof_id=proof_id):
                self.struck[str(fault.spec.get("status", fault.spec.get("at", fault.spec["kind"])))] += 1
                return fault.spec
        return None
