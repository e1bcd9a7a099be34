"""What an operator asks of the running daemon about its keys. All of it changes something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from actod.errors import RejectedError
from actod.keys.life import KeyLife
from actod.proof.dating import utc
from actod.proof.statements import REASONS

Command = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


def commands(life: KeyLife) -> dict[str, Command]:
    """Return the commands. Each raises RejectedError for arguments that are none."""

    async def rotate(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return await life.rotate(reason=_reason(arguments))

    async def retire(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        key = arguments.get("ed25519")
        return await life.retire(
            ed25519=None if key is None else _text(arguments, "ed25519"),
            reason=_reason(arguments),
            suspected_since=_since(arguments),
        )

    async def prepare(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return await life.prepare_adoption(
            operator=_text(arguments, "operator"), reason=_reason(arguments), suspected_since=_since(arguments)
        )

    async def adopt(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return await life.adopt(signature=_text(arguments, "signature"))

    return {
        "keys.rotate": rotate,
        "keys.retire": retire,
        "keys.prepare_adoption": prepare,
        "keys.adopt": adopt,
    }


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise RejectedError("argument_malformed", f"{name} is text")
    return value


def _reason(arguments: Mapping[str, Any]) -> str:
    reason = _text(arguments, "reason")
    if reason not in REASONS:
        raise RejectedError("argument_malformed", f"reason is one of {', '.join(REASONS)}")
    return reason


def _since(arguments: Mapping[str, Any]) -> str | None:
    if arguments.get("suspected_since") is None:
        return None
    return utc(_text(arguments, "suspected_since"))
