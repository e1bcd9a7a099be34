"""All targets by name. Each is a function that takes bytes and returns, or raises what is a defect."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.fuzz import audit, message, transport, twice, verify, wire

Target = Callable[[bytes], None]

TARGETS: Mapping[str, Target] = {
    "message": message.one_input,
    "twice": twice.one_input,
    "transport": transport.one_input,
    "verify": verify.one_input,
    "audit": audit.one_input,
    "wire": wire.one_input,
}
