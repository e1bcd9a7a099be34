"""An audit log held against the bundles that carry its heads: what a chain alone cannot show. Pure.

A bundle of the same device, signed by a key that the reader trusts, vouches for the line whose hash it carries and for all
before it. Where such a line is not in the log, the log's own line about that bundle tells what was done:

- it is there: the bundle is known, and what came before it reads otherwise now       re-sealed
- it is not, and the log goes on later than the bundle                                 truncated-and-continued
- it is not, and the log ends before                         rolled-back, or last-file-missing where a file ended just there

The first three are the known attacks on journald's sealing (systemd pull requests 28885 and 28886, issue 15425): to seal
written-over history anew, to truncate and go on, to leave a file that was never sealed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actod.audit.files import TURNED
from actod.audit.verify import BROKEN, FIRST_MISSING, MIDDLE_MISSING, UNEXPLAINED, AuditReport, Walk
from actod.proof.verify import Checked, Verdict

RESEALED, TRUNCATED = "re-sealed", "truncated-and-continued"
LAST_MISSING, ROLLED_BACK = "last-file-missing", "rolled-back"
UNWITNESSED, REFUSED = "witness-missing", "witness-refused"
# word -> exit code; the first that was found is the command's
EXIT_CODES: Mapping[str, int] = {
    BROKEN: 1,
    TRUNCATED: 11,
    RESEALED: 12,
    UNEXPLAINED: 13,
    FIRST_MISSING: 14,
    MIDDLE_MISSING: 15,
    LAST_MISSING: 16,
    ROLLED_BACK: 17,
    UNWITNESSED: 18,
    REFUSED: 19,
}
_REMOVAL = "actod/audit_removed"


@dataclass(frozen=True, slots=True)
class Witness:
    """A bundle that verified, and the head of the log that it carries. `place` orders those of one device."""

    head: str
    proof_id: str
    payload_hash: str
    device: str
    place: tuple[int, int]
    boot: str
    monotonic_ms: int
    sealed_at: str
    removals: tuple[tuple[int, str], ...]  # (last_n, last_hash) of each removal that the bundle records
    disputed: bool = False  # its key was suspected by then: whoever had it may have signed this


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was done to the log, by its word."""

    word: str
    text: str


@dataclass(slots=True)
class Testimony:
    """What the bundles say of a log. Line `witnessed_n` and all before it are vouched for by bundle `proof_id`.

    `unwitnessed_lines` follow: they are as whoever held the robot since then wants them, their own times included. So
    `unwitnessed_since` is the time of line `witnessed_n`. `removed` says which lines are gone by the rule, `devices` whose
    log this is by its own word.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    witnesses: int = 0
    witnessed_n: int = 0
    witnessed_at: str = ""
    proof_id: str = ""
    unwitnessed_lines: int = 0
    unwitnessed_since: str = ""

    @property
    def exit_code(self) -> int:
        """Return that of the gravest finding, 0 if there is none."""
        words = {finding.word for finding in self.findings}
        return next((code for word, code in EXIT_CODES.items() if word in words), 0)


def witnesses(checked: Iterable[Checked], envelopes: Sequence[Any]) -> Iterator[Witness]:
    """Yield what the bundles that verified carry; each of `checked` is about the envelope in the same place."""
    seen: set[str] = set()
    for one, envelope in zip(checked, envelopes, strict=True):
        if one.verdict is not Verdict.VALID or one.device is None or one.payload_hash in seen:
            continue
        seen.add(one.payload_hash)
        payload = envelope["payload"]
        meta = payload["meta"]["actod"]
        yield Witness(
            head=str(meta.get("audit")),
            proof_id=one.proof_id,
            payload_hash=one.payload_hash,
            device=one.device,
            place=(one.epoch, one.device_seq),
            boot=str(meta.get("boot_id")),
            monotonic_ms=_monotonic(meta.get("clock")),
            sealed_at=one.dated_at or one.created_at,
            removals=tuple(_removals(one, payload)),
            disputed=bool(one.disputed),
        )


def judge(report: AuditReport, walk: Walk, given: Iterable[Witness], *, refused: int, keys: frozenset[str]) -> Testimony:
    """Hold a log against witnesses. `refused` bundles did not verify; `keys` are the thumbprints that the reader knows."""
    said = Testimony(devices=sorted(walk.devices))
    ours = list(_of_this_log(list(given), walk, said))
    said.findings += _of_the_walk(report, walk, ours)
    if refused:
        said.findings.append(Finding(REFUSED, f"{refused} bundles do not verify, and vouch for nothing"))
    said.witnesses = len(ours)
    found = [one for one in ours if one.head in walk.heads]
    newest = max(found, key=lambda one: walk.heads[one.head], default=None)
    if newest is not None:
        said.witnessed_n, said.witnessed_at, said.proof_id = walk.heads[newest.head], newest.sealed_at, newest.proof_id
    said.unwitnessed_lines = walk.last_n - max(said.witnessed_n, walk.first_n - 1)
    if said.unwitnessed_lines:
        said.unwitnessed_since = walk.at[-min(said.unwitnessed_lines + 1, walk.lines)]
    if report.word in ("", FIRST_MISSING):  # else the walk ended at what is wrong
        missing = [one for one in ours if one.head not in walk.heads and not _went_with_removal(one, walk, found)]
        said.findings += _attacks(walk, ours, found, missing)
        if not found and not missing:
            said.findings.append(Finding(UNWITNESSED, "no bundle here carries a head of this log: nothing vouches for it"))
        _judge_removals(walk, ours, said)
    for key in sorted(walk.keys.keys() - keys) if keys else ():
        said.notes.append(
            f"from line {walk.keys[key]} on the log names key {key}, which neither trust nor a bundle here knows"
        )
    return said


def _of_the_walk(report: AuditReport, walk: Walk, ours: Sequence[Witness]) -> Iterator[Finding]:
    """Name what the chain alone shows, unless the device's signed chain says what the log says no more."""
    where = f"{report.file}, line {report.line} (n {report.n})"
    if report.word != FIRST_MISSING:
        if report.problem:
            yield Finding(report.word, f"{where}: {report.problem}")
        return
    signed = {removal for one in ours for removal in one.removals}
    if problem := walk.beginning(signed) or walk.hole(signed):
        yield Finding(problem.word, f"{where}: {problem.text}")


def _of_this_log(given: Sequence[Witness], walk: Walk, said: Testimony) -> list[Witness]:
    """Return the bundles that may vouch for the log, in the order of their sealing: those of the device that it names.

    A head alone makes a bundle no witness: each robot can sign what it wants, so also the head of another's log.
    """
    devices = walk.devices
    if not devices:  # the walk ended before the line that names it
        sealed = {payload_hash for hashes in walk.sealed.values() for payload_hash in hashes}
        devices = {one.device for one in given if one.head in walk.heads or one.payload_hash in sealed}
    others = {one.device for one in given} - devices
    if others:
        count = sum(one.device in others for one in given)
        said.notes.append(f"{count} bundles are of other devices, and say nothing of this log: {', '.join(sorted(others))}")
    ours = [one for one in given if one.device in devices]
    if disputed := sum(one.disputed for one in ours):
        said.notes.append(f"{disputed} bundles vouch for nothing: their key was suspected when they were signed")
    return sorted((one for one in ours if not one.disputed), key=lambda one: one.place)


def _went_with_removal(one: Witness, walk: Walk, found: Sequence[Witness]) -> bool:
    """Whether the line that a bundle carries was in a file that retention removed: it was sealed before all that is left."""
    left = [*walk.sealed, *(other.place for other in found)]
    return walk.first_n > 1 and (not left or one.place <= min(left))


def _attacks(walk: Walk, ours: Sequence[Witness], found: Sequence[Witness], missing: Sequence[Witness]) -> Iterator[Finding]:
    """Say what was done, from the bundles whose heads are not in the log."""
    kept = {one.payload_hash for one in found}
    other = [one for one in ours if one.place in walk.sealed and one.payload_hash not in walk.sealed[one.place]]
    known = [one for one in missing if one.place in walk.sealed] or other
    cut = [one for one in missing if one.place not in walk.sealed]
    gone_on = [one for one in cut if _goes_on(one, walk, found)]
    if known:
        text = (
            "the log knows of it, and what came before reads otherwise now"
            if known[0].payload_hash not in kept
            else ("the log says that another was sealed in its place")
        )
        yield Finding(RESEALED, f"{_count(known)}: {text}")
    if gone_on:
        yield Finding(TRUNCATED, f"{_count(gone_on)}: lines that were there then are gone, and the log went on later")
    if cut and not gone_on:
        word = LAST_MISSING if walk.last.get("event") == TURNED else ROLLED_BACK
        where = "the newest file is gone" if word == LAST_MISSING else "its end was cut off, or an older copy put back"
        yield Finding(word, f"{_count(cut)}: the log ends before, at line {walk.last_n}: {where}")


def _goes_on(one: Witness, walk: Walk, found: Sequence[Witness]) -> bool:
    """Whether the log has anything that was written after a bundle was sealed."""
    if any(other.place > one.place for other in found) or any(place > one.place for place in walk.sealed):
        return True
    if str(walk.last.get("boot")) == one.boot:
        mono_ms = walk.last.get("mono_ms")
        return type(mono_ms) is int and mono_ms > one.monotonic_ms
    return str(walk.last.get("at")) > one.sealed_at


def _count(missing: Sequence[Witness]) -> str:
    first = missing[0]
    return f"{len(missing)} bundles carry heads that are not in the log, first {first.proof_id} of {first.sealed_at[:19]}"


def _judge_removals(walk: Walk, ours: Sequence[Witness], said: Testimony) -> None:
    """Say what retention removed, and whether anything but the log's own word vouches for it."""
    signed = {removal: one.proof_id for one in ours for removal in one.removals}
    carried = {one.proof_id: one.head for one in ours}
    for one in walk.removed:
        record = signed.get((one.last_n, one.last_hash))
        covered = carried.get(one.proof_id) == one.carried_hash and one.carried_hash in (one.last_hash, *walk.heads)
        by = f"recorded in bundle {record}" if record else f"recorded in no bundle here, by line {one.n}"
        said.removed.append(
            f"lines {one.first_n} to {one.last_n} ({one.last_n - one.first_n + 1}), head {one.last_hash}: {one.why}; {by}"
        )
        vouched = record or one.n <= said.witnessed_n or covered
        if not vouched and (one.last_n, one.last_hash) == walk.before_first:
            text = f"lines 1 to {one.last_n} are gone, and no bundle here vouches for what the log says of that"
            said.findings.append(Finding(FIRST_MISSING, text))


def _removals(one: Checked, payload: Any) -> Iterator[tuple[int, str]]:
    """Yield what a bundle of the device's own chain records of the audit log."""
    if one.robot_id is None and payload["subject"]["task_id"] == "actod":
        for event in payload["telemetry_normalized"]["events"]:
            data = event.get("data") if isinstance(event, dict) and event.get("topic") == _REMOVAL else None
            if isinstance(data, dict) and type(data.get("last_n")) is int:
                yield data["last_n"], str(data.get("last_hash"))


def _monotonic(clock: Any) -> int:
    return clock["monotonic_ms"] if isinstance(clock, dict) and type(clock.get("monotonic_ms")) is int else 0
