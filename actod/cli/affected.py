"""`actod queue affected`: which proofs a breach, a leak or a lost key touches, and whether the collector has them.

What is in doubt is listed: a list that is too long costs an afternoon, one that is too short breaks a promise. So a bundle
counts whose clock was not synchronised, and one that is gone from the archive and of which only the audit log knows.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from actod.audit.files import log_files, whole_lines
from actod.cli.state import state_folder, utc_argument
from actod.errors import EXIT_FAILED, ConfigError
from actod.proof.envelope import iso
from actod.store.inspection import PLACES, Inspection, inspect
from actod.store.outbox import Sealed
from actod.store.schema import ARCHIVE, QUARANTINE

GONE = "gone"  # delivered, or dropped, and no longer in the store
_LARGEST_TEXT_BYTES = 4096
_PROOF_ID = 32


@dataclass(frozen=True, slots=True)
class Affected:
    """One proof. What is None is not known: of one that is gone, the audit log has no more."""

    proof_id: str
    payload_hash: str
    place: str
    receipt: str
    robot_id: str | None
    epoch: int
    seq: int
    first: str | None = None
    last: str | None = None
    events: int | None = None
    policy: str | None = None
    clock: str | None = None  # "synchronised" or "untrusted"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for; "" and None ask for all."""

    since: str
    until: str
    robot: str | None
    policy: str
    text: bytes
    place: str
    believe_clock: bool

    def spans(self, first: str, last: str) -> bool:
        """Whether a span of time touches the one that was asked for."""
        return last >= self.since and (not self.until or first <= self.until)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what may be asked for."""
    parser.add_argument("--since", type=utc_argument, metavar="TIME", help="ISO 8601: received or sealed then or later")
    parser.add_argument("--until", type=utc_argument, metavar="TIME", help="ISO 8601: received then or earlier")
    parser.add_argument("--robot", metavar="ROBOT_ID", help="only this robot's")
    parser.add_argument(
        "--policy", default="", metavar="DIGEST", help="only what was masked by this policy (or its beginning)"
    )
    parser.add_argument("--containing", type=Path, metavar="FILE", help="only what holds the text in this file, mode 0600")
    parser.add_argument("--place", choices=[*sorted(PLACES.values()), GONE], help="only these; default: all")
    parser.add_argument(
        "--believe-clock", action="store_true", help="judge by a clock that was not synchronised, too: it may leave some out"
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--ids", action="store_true", help="only the proof ids of those that the store holds, one a line")
    forms.add_argument("--json", action="store_true", help="a JSON line for each")


def run(args: argparse.Namespace) -> int:
    """List them."""
    folder, wanted = state_folder(args), _wanted(args)
    damaged: list[str] = []
    with inspect(folder) as inspection:
        for found in _found(inspection, folder / "audit", wanted, damaged):
            if args.json:
                print(orjson.dumps(dataclasses.asdict(found)).decode())
            elif not args.ids:
                chain = f"{found.robot_id or 'device'}#{found.seq}"
                span = f"{(found.first or '?')[:19]} to {(found.last or '?')[:19]}"
                untrusted = "  clock untrusted" if found.clock == "untrusted" else ""
                print(f"{found.proof_id}  {found.payload_hash}  {chain}  {span}  {found.receipt}{untrusted}")
            elif found.place != GONE:
                print(found.proof_id)
    for proof_id in damaged:
        print(f"actod queue: {proof_id} is damaged: what it holds is not known, so count it in", file=sys.stderr)
    return EXIT_FAILED if damaged else 0


def _wanted(args: argparse.Namespace) -> _Wanted:
    text = b""
    if args.containing is not None:
        text = args.containing.read_bytes().strip()
        if not 0 < len(text) <= _LARGEST_TEXT_BYTES:
            raise ConfigError(
                key="--containing", expected="a file with one piece of text", fix="put what leaked into it, alone"
            )
    place = args.place or ""
    return _Wanted(args.since or "", args.until or "", args.robot, args.policy, text, place, args.believe_clock)


def _found(inspection: Inspection, audit: Path, wanted: _Wanted, damaged: list[str]) -> Iterator[Affected]:
    held = set()
    for row in inspection.every(list(PLACES)):
        held.add(row.proof_id)
        robot = orjson.loads(row.robot)
        if wanted.robot not in (None, robot) or wanted.place not in ("", PLACES[row.place]):
            continue
        body = inspection.envelope(row)
        if body is None:
            damaged.append(row.proof_id)
        elif (one := _described(row, robot, body, wanted)) is not None:
            yield one
    if wanted.place in ("", GONE) and not wanted.text:
        yield from _gone(audit, held, wanted)


def _described(row: Sealed, robot: str | None, body: bytes, wanted: _Wanted) -> Affected | None:
    """Return what is to be said of a bundle, None if it is not asked for."""
    if wanted.text and not any(form in body for form in _forms(wanted.text)):
        return None
    meta = orjson.loads(body)["payload"]["meta"]["actod"]
    clock = "synchronised" if meta["clock"]["synchronised"] else "untrusted"
    first, last = meta["received"]["first"], max(meta["received"]["last"], iso(row.sealed_wall))
    believed = clock == "synchronised" or wanted.believe_clock
    if not meta["policy"].startswith(wanted.policy) or (believed and not wanted.spans(first, last)):
        return None
    settled = "" if row.settled_wall is None else iso(row.settled_wall)
    receipt = {ARCHIVE: f"confirmed {settled}", QUARANTINE: f"refused: {row.note}"}.get(row.place, "unconfirmed")
    facts = (row.proof_id, row.payload_hash, PLACES[row.place], receipt, robot, row.epoch, row.seq)
    return Affected(*facts, first, last, row.count, meta["policy"], clock)


def _gone(audit: Path, held: set[str], wanted: _Wanted) -> Iterator[Affected]:
    """Yield what the audit log saw sealed, and the store does not hold any more, oldest first."""
    sealed: dict[str, Affected] = {}
    confirmed: dict[str, str] = {}
    for line in (line for file in log_files(audit) for line in whole_lines(file)):
        if line["event"] == "submit.confirmed":
            confirmed[str(line.get("proof_id"))] = str(line.get("at"))
        if line["event"] != "checkpoint.sealed":
            continue
        for robot, (epoch, seq, payload_hash) in line.get("heads", {}).items():
            proof_id = hashlib.sha256(payload_hash.encode()).hexdigest()[:_PROOF_ID]
            if proof_id not in held:
                one = Affected(proof_id, payload_hash, GONE, "", orjson.loads(robot), epoch, seq, last=str(line["at"]))
                sealed.setdefault(proof_id, one)
    for proof_id, one in sealed.items():
        if wanted.robot in (None, one.robot_id) and wanted.spans("", one.last or ""):
            receipt = f"confirmed {confirmed[proof_id]}" if proof_id in confirmed else "not known"
            yield dataclasses.replace(one, receipt=receipt)


def _forms(text: bytes) -> set[bytes]:
    """Return how a text may stand in canonical JSON: as it is, and escaped."""
    return {text, orjson.dumps(text.decode(errors="replace"))[1:-1]}
