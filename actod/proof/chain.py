"""Verification of a set of envelopes: pure. The chain of each (device, epoch, robot_id) and the device's own numbering.

`seq` and `dependencies` run in a chain without a hole, `device_seq` over all chains of a device. A set may be a window: what
lies before its first and after its last bundle cannot be missed, and is told as a note. A bundle that was too large for the
collector is sealed again in smaller ones that name it in `replaces`; its number is then explained, not missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from actod.proof.dating import dates
from actod.proof.succession import Findings, follow
from actod.proof.trust import Trust
from actod.proof.verify import Checked, Verdict, verify_envelope

_Key = tuple[str, int, str | None]


@dataclass(slots=True)
class Chain:
    """The bundles of one (device, epoch, robot_id): `problems` of their order, `notes` that are none."""

    device: str
    epoch: int
    robot_id: str | None
    first: int
    last: int
    count: int
    signers: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """Everything about a set of envelopes. `problems` are those of no single chain; `repeated` counts equal copies.

    `marks` say what is in doubt without being wrong, as does `disputed` of an envelope; neither changes the verdict.
    """

    envelopes: list[Checked]
    chains: list[Chain]
    problems: list[str]
    notes: list[str]
    marks: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    repeated: int = 0

    @property
    def verdict(self) -> Verdict:
        """Return the verdict on all of it: the worst."""
        verdicts = {one.verdict for one in self.envelopes}
        if self.problems or any(chain.problems for chain in self.chains) or Verdict.INVALID in verdicts:
            return Verdict.INVALID
        return Verdict.VERIFIER_DEPENDENT if Verdict.VERIFIER_DEPENDENT in verdicts else Verdict.VALID

    @property
    def losses(self) -> dict[str, int]:
        """Return the signed loss ledger by reason; a copy counts once."""
        totals: dict[str, int] = {}
        unique = {one.payload_hash: one for one in self.envelopes if not one.problems}
        for one in unique.values():
            for reason, count in one.loss.items():
                totals[reason] = totals.get(reason, 0) + count
        return dict(sorted(totals.items()))


def verify_set(
    envelopes: Iterable[Any],
    *,
    sources: Sequence[str] = (),
    trust: Trust | None = None,
    require_hardware: bool = False,
) -> Report:
    """Verify each envelope, the keys that signed them, then the chains that the good ones form.

    A plain ACTO envelope is in no chain. With `trust` each bundle must lead to an enrolled key, and with `require_hardware`
    be signed by a chip.
    """
    named = list(envelopes)
    checked = [verify_envelope(envelope, source=sources[index] if sources else "") for index, envelope in enumerate(named)]
    unique = {one.payload_hash: one for one in checked if not one.problems}
    found = follow(_by_device(unique.values()), trust=trust, require_hardware=require_hardware)
    _condemn(checked, found, trust)
    unique = {one.payload_hash: one for one in checked if not one.problems}
    dated = dates(envelope["payload"] for one, envelope in zip(checked, named, strict=True) if not one.problems)
    for one in checked:
        one.dated_at = dated.get(one.payload_hash, "")
    by_chain: dict[_Key, list[Checked]] = defaultdict(list)
    for one in unique.values():
        if one.device is not None:
            by_chain[one.device, one.epoch, one.robot_id].append(one)
    replaced = {name for one in unique.values() for name in (one.replaces or "").split()} - unique.keys()
    chains = [_chain(key, by_chain[key], replaced) for key in sorted(by_chain, key=_order)]
    report = Report(checked, chains, found.problems, found.notes, found.marks, list(_copies(checked)))
    report.repeated = len(report.copies)
    by_device = _by_device(unique.values())
    for key in sorted(by_device):
        _device(key, by_device[key], replaced, report)
    _epochs(by_device, found.adopted, report)
    _shared_keys(unique.values(), report)
    return report


def _by_device(envelopes: Iterable[Checked]) -> dict[tuple[str, int], list[Checked]]:
    by_device: dict[tuple[str, int], list[Checked]] = defaultdict(list)
    for one in envelopes:
        if one.device is not None:
            by_device[one.device, one.epoch].append(one)
    return by_device


def _condemn(checked: Iterable[Checked], found: Findings, trust: Trust | None) -> None:
    """Enter what following the keys found at each envelope, copies included."""
    for one in checked:
        if not one.problems:
            if trust is not None and one.device is None:
                one.problems.append("it names no device: nobody enrolled its key")
            one.disputed = found.disputed.get(one.payload_hash, "")
            one.problems.extend(found.condemned.get(one.payload_hash, ()))


def _copies(checked: Iterable[Checked]) -> Iterator[str]:
    """Yield where each good envelope was read that another has said before: a replayed bundle proves nothing more."""
    seen: set[str] = set()
    for one in checked:
        if not one.problems and one.payload_hash in seen:
            yield f"{one.source}: proof {one.proof_id}"
        seen.add(one.payload_hash)


def _order(key: _Key) -> tuple[str, int, str]:
    device, epoch, robot_id = key
    return device, epoch, "" if robot_id is None else f"r{robot_id}"


def _chain(key: _Key, members: list[Checked], replaced: set[str]) -> Chain:
    members.sort(key=lambda one: one.seq)
    by_seq: dict[int, list[Checked]] = defaultdict(list)
    for one in members:
        by_seq[one.seq].append(one)
    numbers = sorted(by_seq)
    chain = Chain(*key, first=numbers[0], last=numbers[-1], count=len(members))
    if numbers[0] > 1:
        chain.notes.append(f"begins at seq {numbers[0]}: what came before is not in this set")
    for number, ones in by_seq.items():
        if len(ones) > 1:
            chain.problems.append(f"seq {number} stands for {len(ones)} contents: a fork")
        before = by_seq.get(number - 1)
        if before and not {one.previous for one in ones} <= {one.payload_hash for one in before}:
            chain.problems.append(f"seq {number} does not follow seq {number - 1}: it names another predecessor")
    left = len({name for one in members for name in (one.replaces or "").split()} & replaced)
    for first, last in _holes(numbers):
        left -= last - first + 1  # of a row that is missing only the last is named by who follows; the rest is counted
        if left >= 0 and all(one.previous in replaced for one in by_seq[last + 1]):
            chain.notes.append(f"{_span('seq', first, last)} replaced: too large, smaller bundles of this set name it")
        else:
            chain.problems.append(f"{_span('seq', first, last)} missing")
    _name_signers(chain, members)
    return chain


def _name_signers(chain: Chain, members: list[Checked]) -> None:
    """List the keys in the order of their use. Which of them are enrolled is for the reader to know."""
    current: tuple[str, ...] = ()
    for one in members:
        if one.signers != current:
            if current:
                chain.notes.append(f"from seq {one.seq} another key signs: {' and '.join(one.signers)}")
            if one.signers[0] in chain.signers and one.signers[0] not in current:
                chain.problems.append(f"seq {one.seq} is signed by a key that had been replaced before")
            chain.signers += [key for key in one.signers if key not in chain.signers]
            current = one.signers


def _device(key: tuple[str, int], members: list[Checked], replaced: set[str], report: Report) -> None:
    device, epoch = key
    by_number: dict[int, set[str]] = defaultdict(set)
    for one in members:
        by_number[one.device_seq].add(one.payload_hash)
    numbers = sorted(by_number)
    name = f"device {device} epoch {epoch}"
    if numbers[0] > 1:
        report.notes.append(f"{name}: begins at device_seq {numbers[0]}: what came before is not in this set")
    report.problems += [
        f"{name}: device_seq {number} stands for {len(hashes)} contents: a fork"
        for number, hashes in sorted(by_number.items())
        if len(hashes) > 1
    ]
    holes = list(_holes(numbers))
    explained = len({name for one in members for name in (one.replaces or "").split()} & replaced)
    if sum(last - first + 1 for first, last in holes) <= explained:
        report.notes += [f"{name}: {_span('device_seq', *hole)} replaced by smaller bundles" for hole in holes]
    else:
        report.problems += [f"{name}: {_span('device_seq', *hole)} missing" for hole in holes]


def _epochs(devices: Iterable[tuple[str, int]], adopted: set[tuple[str, int]], report: Report) -> None:
    by_device: dict[str, list[int]] = defaultdict(list)
    for device, epoch in sorted(devices):
        by_device[device].append(epoch)
    for device, epochs in by_device.items():
        report.problems += [f"device {device}: {_span('epoch', *hole)} missing" for hole in _holes(epochs)]
        report.notes += [
            f"device {device}: epoch {epoch} begins anew: its store had been lost, cloned or restored"
            for epoch in epochs
            if epoch > 1 and (device, epoch) not in adopted
        ]


def _shared_keys(envelopes: Iterable[Checked], report: Report) -> None:
    """Mark a key that signs for several devices: a state folder made anew, or one robot that speaks for another."""
    devices: dict[str, set[str]] = defaultdict(set)
    for one in envelopes:
        if one.device is not None:
            devices[one.signers[0]].add(one.device)
    report.marks += [
        f"key {key} signs for more than one device: {', '.join(sorted(names))}"
        for key, names in sorted(devices.items())
        if len(names) > 1
    ]


def _holes(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of missing numbers; `numbers` are sorted and differ."""
    for before, after in pairwise(numbers):
        if after > before + 1:
            yield before + 1, after - 1


def _span(name: str, first: int, last: int) -> str:
    return f"{name} {first} is" if first == last else f"{name} {first} to {last} ({last - first + 1}) are"
