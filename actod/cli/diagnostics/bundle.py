"""The bundle: what each collector gave, after its shape; each has its time, and one that fails is named, no more.

Lines of JSON: first the manifest, which lists what follows, then one for each collector.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from actod import __version__
from actod.cli.diagnostics.fields import Shape, described, select
from actod.errors import ActodError

FORM = "actod:diag:v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """One source. `gather` may raise, hang or say too much: what leaves is what `shape` allows."""

    name: str
    about: str
    shape: Shape
    gather: Callable[[], Any]
    limit_seconds: float = 10.0


@dataclass(slots=True)
class _Gathered:
    """What came of a collector."""

    value: Any = None
    failed: str = "no answer in time"
    dropped: int = 0
    seconds: float = 0.0


def listed(collectors: Sequence[Collector]) -> list[dict[str, Any]]:
    """Say what a bundle would hold: each collector with the fields that it may give."""
    return [{"name": each.name, "about": each.about, "fields": described(each.shape)} for each in collectors]


def lines(collectors: Sequence[Collector], *, made_at: str) -> Iterator[bytes]:
    """Gather, and yield the lines of the bundle."""
    gathered = {each.name: _within_time(each) for each in collectors}
    contents = [
        {
            "name": each.name,
            "about": each.about,
            "failed": gathered[each.name].failed,
            "dropped": gathered[each.name].dropped,
            "seconds": round(gathered[each.name].seconds, 3),
        }
        for each in collectors
    ]
    yield orjson.dumps({"form": FORM, "actod": __version__, "made_at": made_at, "contents": contents})
    for name, found in gathered.items():
        yield orjson.dumps({"name": name, "content": found.value})


def _within_time(collector: Collector) -> _Gathered:
    """Gather on a thread of its own: one that hangs is left behind."""
    came: list[_Gathered] = []
    thread = threading.Thread(target=lambda: came.append(_guarded(collector)), daemon=True)
    begun = time.monotonic()
    thread.start()
    thread.join(collector.limit_seconds)
    return came[0] if came else _Gathered(seconds=time.monotonic() - begun)


def _guarded(collector: Collector) -> _Gathered:
    """Name a failure by its kind: its text may hold paths and names."""
    begun = time.monotonic()
    try:
        value, dropped = select(collector.gather(), collector.shape)
    except ActodError as exc:
        return _Gathered(failed=exc.reason, seconds=time.monotonic() - begun)
    except Exception as exc:  # noqa: BLE001 - whatever one meets, the others are gathered
        return _Gathered(failed=type(exc).__name__, seconds=time.monotonic() - begun)
    return _Gathered(value=value, failed="", dropped=dropped, seconds=time.monotonic() - begun)
