"""What the daemon says of itself in numbers: for `actod status`, for Prometheus, and for node_exporter.

Everything here reads what the parts count anyway. Nothing waits for it, and it waits for nothing: where the disk hangs, the
store's last word is told again, and marked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from actod.errors import ActodError, TransientError
from actod.latency import Latency
from actod.parts import Parts
from actod.picture import picture_of
from actod.proof.envelope import iso
from actod.reload import Reloader
from actod.service.conditions import Condition, Pace
from actod.service.exposition import MetricsServer, TextFile
from actod.service.keptcounters import FILE, KeptCounters
from actod.service.metrics import Picture, expose
from actod.store.outbox import Sealed
from actod.store.status import SpoolStatus
from actod.store.tally import Tally

_LOOK_SECONDS = 1.0
_SAVE_SECONDS = 60.0
_PATIENCE_SECONDS = 2.0  # with the store; Prometheus gives us ten
_FRESH_SECONDS = 1.0  # one picture serves all who ask within a second
_LEAST_SECONDS = 60.0  # a shorter time says nothing about a day
_DAY_SECONDS = 86_400
_RECEIPTS = 5

_log = structlog.get_logger(__name__)


class Meters:
    """One for a running daemon. Call its methods on the loop."""

    def __init__(self, parts: Parts, reloader: Reloader) -> None:
        self._parts, self._reloader = parts, reloader
        self._kept = KeptCounters(parts.config.state_directory / FILE)
        self._started_ns = parts.clock.now().monotonic_ns
        names = ("collect", "disk", "seal", "submit")
        self._conditions = {name: Condition(name, now_ns=self._started_ns) for name in names}
        self._intake_states = ["connecting", "connected"]  # and those that were met: bounded, the words are fixed
        self._pace = Pace()
        self._trip: asyncio.Future[tuple[SpoolStatus, Tally]] | None = None
        self._seen: tuple[SpoolStatus, Tally] | None = None
        self._one = asyncio.Lock()
        self._text, self._text_at = b"", float("-inf")
        self._defect = self._over = False
        listen, file = parts.config.metrics.listen, parts.config.metrics.textfile
        self._server = MetricsServer(listen=listen, text=self.text) if listen else None
        interval_seconds = parts.config.metrics.textfile_interval_seconds
        self._file = TextFile(file, interval_seconds=interval_seconds, text=self.text) if file else None

    async def run(self) -> None:
        """Look each second, keep the counters each minute, and give them out where that is asked for."""
        await asyncio.to_thread(self._kept.begin)
        async with asyncio.TaskGroup() as group:
            if self._server is not None:
                group.create_task(self._server.run(), name="metrics listener")
            if self._file is not None:
                group.create_task(self._file.run(), name="metrics file")
            saved_at = time.monotonic()
            while True:
                self._look()
                await asyncio.sleep(_LOOK_SECONDS)
                if time.monotonic() - saved_at > _SAVE_SECONDS:
                    saved_at = time.monotonic()
                    await self.save()

    async def save(self, *, last: bool = False) -> None:
        """Keep the counters for the next run; `last`: nobody is told anything after. A disk that refuses is tried again."""
        async with self._one:
            self._over = last
        with suppress(ActodError):
            picture = await self._of_this_run()
            try:
                await asyncio.to_thread(partial(self._kept.save, picture, last=last))
            except OSError:
                _log.warning("The counters cannot be written; a restart would know those of a minute ago or more.")

    async def text(self) -> bytes:
        """Return the metrics as Prometheus takes them, at most a second old. Raises ActodError."""
        async with self._one:
            if self._over:
                raise TransientError("stopping")
            if time.monotonic() - self._text_at > _FRESH_SECONDS:
                self._text, self._text_at = expose(self._kept.told(await self._of_this_run())), time.monotonic()
            return self._text

    async def picture(self) -> Picture:
        """Return every metric, earlier runs' counts included. Raises ActodError."""
        return self._kept.complete(await self._of_this_run())

    async def _of_this_run(self) -> Picture:
        answers = await self._ask_store()
        if self._seen is None:
            raise TransientError("store_away")
        try:
            return self._draw(*self._seen, answers=answers)
        except Exception as exc:  # noqa: BLE001 - a defect here must not end the daemon
            if not self._defect:
                _log.error("The metrics cannot be drawn, by a defect of ours.", error=type(exc).__name__)
            self._defect = True
            raise TransientError("defect") from None

    def _draw(self, status: SpoolStatus, tally: Tally, *, answers: bool) -> Picture:
        self._look()
        conditions, (_taken, days) = self._conditions.values(), self._days(status)
        picture = picture_of(self._parts, status=status, tally=tally, conditions=conditions, days_until_full=days)
        now = self._parts.clock.now()
        picture.add("actod_start_time_seconds", (now.wall_ns - now.monotonic_ns + self._started_ns) / 1e9)
        picture.add("actod_store_answers", int(answers))
        picture.add("actod_configuration_refused", int(bool(self._reloader.refused)))
        for state in self._intake_states:
            picture.add("actod_intake_state", int(state == self._parts.source.state), state)
        for code, count in self._server.requests.items() if self._server else ():
            picture.add("actod_metrics_requests_total", count, str(code))
        return picture

    async def facts(self) -> Mapping[str, Any]:
        """Return what `actod status` shows beside the states. Raises TransientError."""
        picture = await self.picture()
        if self._seen is None:
            raise TransientError("store_away")
        status, answers = self._seen[0], bool(picture.values["actod_store_answers"][()])
        receipts = await self._parts.spool.newest_receipts(_RECEIPTS) if answers else []
        taken, days = self._days(status)
        wire, seconds = self._parts.client.wire, self._uptime_seconds()
        return {
            "uptime_seconds": round(seconds, 1),
            "starts": status.opens,
            "rates_per_second": self._pace.per_second(),
            "blocked": [condition.facts() for condition in self._conditions.values() if condition.reason],
            "losses": picture.sums("actod_losses_total", "reason"),
            "sign": _latency(self._parts.sealer.latency),
            "submit": _latency(self._parts.uplink.latency),
            "message_bytes_a_day": taken,
            "wire_bytes_a_day": (
                int((wire.sent + wire.received) / seconds * _DAY_SECONDS) if seconds > _LEAST_SECONDS else None
            ),
            "days_until_full": days,
            "receipts": [_receipt(row) for row in receipts],
            "store_answers": answers,
            "store": dataclasses.asdict(status),
        }

    def _look(self) -> None:
        parts, now_ns = self._parts, self._parts.clock.now().monotonic_ns
        intake, uplink = parts.source.state, parts.uplink.state
        reasons = {
            "collect": "" if intake == "connected" else intake,
            "disk": parts.refused,
            "seal": parts.sealer.waiting or "",
            "submit": "" if uplink == "ok" else uplink,
        }
        for part, reason in reasons.items():
            self._conditions[part].look(reason, now_ns)
        if intake not in self._intake_states:
            self._intake_states.append(intake)
        journaled, receipts = parts.spool.passed()
        wire = parts.client.wire
        counts = {"messages_received": parts.source.received, "messages_journaled": journaled, "bundles_receipted": receipts}
        self._pace.look(now_ns, {**counts, "wire_bytes": wire.sent + wire.received})

    def _uptime_seconds(self) -> float:
        return (self._parts.clock.now().monotonic_ns - self._started_ns) / 1e9

    def _days(self, status: SpoolStatus) -> tuple[int | None, float | None]:
        """Return bytes of messages a day, and days until the queue is full, at the pace since the start."""
        if not status.written_bytes_a_day or not status.write_amplification:
            return None, None
        taken = int(status.written_bytes_a_day / status.write_amplification)
        room = self._parts.config.store.shares.database - status.journal_bytes - status.outbox_bytes
        return taken, round(max(0, room) / max(1, taken), 3)

    async def _ask_store(self) -> bool:
        """Have the store say where it stands; False if it does not in time. A question under way is not asked twice."""
        trip = self._trip = self._trip or asyncio.ensure_future(self._read_store())
        await asyncio.wait({trip}, timeout=_PATIENCE_SECONDS)
        if not trip.done():
            return False
        self._trip = None if self._trip is trip else self._trip
        with suppress(TransientError):
            self._seen = trip.result()
            return True
        return False

    async def _read_store(self) -> tuple[SpoolStatus, Tally]:
        return await self._parts.spool.status(), await self._parts.spool.tally()


def _latency(latency: Latency) -> dict[str, Any]:
    return {"count": latency.count, "p50_seconds": latency.quantile(0.5), "p99_seconds": latency.quantile(0.99)}


def _receipt(row: Sealed) -> dict[str, Any]:
    return {
        "proof_id": row.proof_id,
        "class": str(row.traffic_class),
        "messages": row.count,
        "bytes": row.size,
        "confirmed_at": None if row.settled_wall is None else iso(row.settled_wall),
        "server_date": row.note,
    }
