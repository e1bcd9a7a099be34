"""What a check is, and what it can find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actod.cli.checks.site import Site

_USUAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `kind` is ok, trouble, doubt (it cannot be known, or it nears) or skip (it was not asked).

    A remedy that is empty is the check's own.
    """

    kind: str
    detail: str
    remedy: str = ""


def ok(detail: str) -> Finding:
    """Say that all is well."""
    return Finding("ok", detail)


def trouble(detail: str, remedy: str = "") -> Finding:
    """Say what is wrong; how bad that is, the check's environment says."""
    return Finding("trouble", detail, remedy)


def doubt(detail: str, remedy: str = "") -> Finding:
    """Say what cannot be known, or what will be wrong soon: a warning in each environment."""
    return Finding("doubt", detail, remedy)


def skip(detail: str) -> Finding:
    """Say why there is nothing to ask."""
    return Finding("skip", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `elsewhere` and `prod` are the levels of trouble: fail, warn, or ok where it is none of that environment's.

    `mend` is the command that mends it. `needs` names checks without which it cannot be asked; `network` ones are left
    out by --offline. One that takes longer than `limit_seconds` has failed.
    """

    id: str
    looks_at: str
    run: Callable[[Site], Finding]
    mend: str
    elsewhere: str = "warn"
    prod: str = "fail"
    network: bool = False
    needs: tuple[str, ...] = ()
    limit_seconds: float = _USUAL_SECONDS


@dataclass(frozen=True, slots=True)
class Line:
    """A check's result: level is ok, warn, fail or skip; a remedy stands beside each warning and failure."""

    id: str
    group: str
    level: str
    detail: str
    remedy: str = ""
