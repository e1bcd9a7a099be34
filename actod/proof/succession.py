"""Which key may sign where: rotations, retirements and adoptions, followed through a device's bundles by device_seq. Pure.

1. A device begins with an enrolled key, an epoch with the last key of the one before or with one that it adopts.
2. A successor signs only behind the bundle that carries the rotation, and its predecessor never again behind it.
3. A retirement counts from the bundle that carries it, never from an earlier place or time that it names.
   Behind it the key is refused. What the key signed before, from the suspected time on, is disputed, and stays valid.
4. An adoption names the last head of each chain: what lies beyond them in the epoch before is refused.
5. What a statement cannot prove by its signatures, its device, epoch and place, is forged, and changes nothing.

Without a trust file the first key of a device is taken for its own, and a change without a rotation is left to the notes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from actod.proof.statements import ADOPTION, RETIREMENT, ROTATION, Key, Signed, Statement
from actod.proof.trust import Trust
from actod.proof.verify import Checked

_SLACK_SECONDS = 60.0  # between the time that a statement names and the bundle that carries it: a token may be slow
_EARLIEST, _LATEST = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))  # noqa: DTZ901
_Identity = tuple[str, str | None, str]  # Ed25519, P-256 (thumbprints), kind


@dataclass(slots=True)
class Findings:
    """What following the keys found. `condemned` and `disputed` go by payload_hash; `marks` are neither good nor bad."""

    condemned: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    disputed: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    adopted: set[tuple[str, int]] = field(default_factory=set)


def follow(
    devices: Mapping[tuple[str, int], Sequence[Checked]], *, trust: Trust | None, require_hardware: bool = False
) -> Findings:
    """Follow the keys of each (device, epoch). The bundles verify by themselves; each stands there once."""
    findings = Findings()
    succession = None
    for device, epoch in sorted(devices):
        if succession is None or succession.device != device:
            succession = _Succession(device, trust, findings, hardware=require_hardware)
        members = sorted(devices[device, epoch], key=lambda one: (one.device_seq, one.payload_hash))
        succession.follow(members)
    return findings


class _Succession:
    """The keys of one device, followed epoch by epoch."""

    def __init__(self, device: str, trust: Trust | None, findings: Findings, *, hardware: bool) -> None:
        self.device = device
        self._trust, self._findings, self._hardware = trust, findings, hardware
        self._enrolled = {key.ed25519: _identity(key) for key in trust.keys(device)} if trust else {}
        self._current: _Identity | None = None
        self._next: dict[str, _Identity] = {}
        self._replaced: dict[str, str] = {}  # thumbprint -> since where
        self._retired: dict[str, str] = {}
        self._done: set[bytes] = set()  # statements that counted: a record that is repeated says nothing new
        self._members: list[Checked] = []  # all that were accepted, in order
        self._starting = True

    def follow(self, members: Sequence[Checked]) -> None:
        """Follow one epoch, in the order of device_seq."""
        self._starting = self._current is None
        for one in members:
            for signed in one.statements:
                if signed.statement.purpose == ADOPTION:
                    self._adopt(one, signed)
        for one in members:
            refusal = self._refusal(one)
            if refusal:
                self._findings.condemned[one.payload_hash].append(refusal)
                continue
            self._take(one)
            for signed in one.statements:
                self._heed(one, signed)

    def _take(self, one: Checked) -> None:
        """Accept a bundle; its key is the one in use from here on."""
        identity = _signer(one)
        if self._current is not None and identity[0] != self._current[0] and identity[0] in self._next:
            self._replaced[self._current[0]] = _place(one)
            self._next.clear()
        self._current, self._starting = identity, False
        self._members.append(one)

    def _refusal(self, one: Checked) -> str:
        """Say why this key may not sign here, or return ""."""
        key = one.signers[0]
        if key in self._retired:
            return f"signed by a key that was retired at {self._retired[key]}"
        if key in self._replaced:
            return f"signed by a key that was replaced at {self._replaced[key]}"
        if self._trust is None:
            return ""
        allowed = dict(self._next)
        if self._current is not None:
            allowed[self._current[0]] = self._current
        if self._starting:
            allowed = self._enrolled | allowed
        if key in allowed:
            return self._differs(one, allowed[key])
        if key in self._enrolled:
            return "the key changes, and no rotation says so"
        return "signed by a key that is not enrolled, and nothing in this set leads to it: signed again by a stranger?"

    def _differs(self, one: Checked, expected: _Identity) -> str:
        _, p256, kind = _signer(one)
        if expected[1] is not None and p256 is None:
            return "the co-signature was removed: this key signs together with a P-256 key of its token"
        if p256 != expected[1]:
            return "the co-signature was swapped: it is by another P-256 key than the one that belongs to this key"
        if kind != expected[2]:
            return f"the key is called {kind}, and was enrolled as {expected[2]}"
        if self._hardware and not (kind == "on-token" or (kind == "sealed" and one.cosigned)):
            return f"a {kind} key: the signature of a chip is required"
        return ""

    # -- statements ---------------------------------------------------------------------------------------------------

    def _heed(self, one: Checked, signed: Signed) -> None:
        """Judge a statement and let it count from the bundle that carries it."""
        statement = signed.statement
        if statement.purpose == ADOPTION or statement.message in self._done:
            return
        faults = list(signed.problems())
        late = statement.device == one.device and statement.epoch < one.epoch  # the store was repaired before it was sealed
        if late and not faults and statement.purpose != RETIREMENT:
            self._findings.notes.append(
                f"device {self.device}: {statement.purpose} of an epoch before, void, at {_place(one)}"
            )
            return
        if not late:
            faults += self._misplaced(one, statement)
        if statement.purpose == ROTATION and not faults and _identity(statement.new) == self._current:
            return  # the same once more, and the first lies before this set
        key = statement.old if statement.purpose == ROTATION else statement.new
        if key is None or _identity(key) != self._current:
            faults.append("it does not speak of the key that is in use there")
        if statement.purpose == RETIREMENT and statement.old is not None and statement.old.ed25519 == statement.new.ed25519:
            faults.append("no key can retire itself")
        if self._forged(one, statement, faults):
            return
        self._done.add(statement.message)
        if statement.purpose == ROTATION:
            self._next = {statement.new.ed25519: _identity(statement.new)}
        elif statement.purpose == RETIREMENT and statement.old is not None:
            self._retired.setdefault(statement.old.ed25519, _place(one))
            self._next.pop(statement.old.ed25519, None)
            self._findings.marks.extend(() if late else self._back_dated(one, statement))
            self._dispute(statement, [member for member in self._members if member is not one])
        self._findings.notes.append(f"device {self.device}: {statement.purpose} at {_place(one)}, reason {statement.reason}")

    def _adopt(self, one: Checked, signed: Signed) -> None:
        """Let an epoch begin with a key that an operator vouches for, wherever in it the record stands."""
        statement, old = signed.statement, signed.statement.old
        if statement.message in self._done or old is None:
            return
        faults = [*signed.problems()]
        if (statement.device, statement.epoch) != (one.device, one.epoch):
            faults.append("it was made for another device or epoch")
        if self._trust is not None and statement.operator not in self._trust.operators:
            faults.append("the operator who signed it is not in the trust file")
        if _identity(statement.new) != _signer(one):
            faults.append("it is carried by another key than the one that it adopts")
        known = (
            old.ed25519 in self._next or self._current is None or self._current[0] == old.ed25519
        )  # rotated, not used yet
        if self._trust is not None and not known:
            faults.append("the key that it ends is not the one that was in use")
        if self._forged(one, statement, faults):
            return
        self._done.add(statement.message)
        self._current, self._starting = None, False
        self._next = {statement.new.ed25519: _identity(statement.new)}
        self._replaced[old.ed25519] = f"epoch {one.epoch}, which adopted another"
        self._findings.adopted.add((self.device, one.epoch))
        self._cut_off(statement, {robot: (seq, head) for robot, seq, head in signed.heads})
        self._dispute(statement, self._members)
        self._findings.notes.append(f"device {self.device}: epoch {one.epoch} adopts a new key, reason {statement.reason}")

    def _forged(self, one: Checked, statement: Statement, faults: list[str]) -> bool:
        if faults:
            self._findings.problems.append(
                f"device {self.device}: forged {statement.purpose} at {_place(one)}: {'; '.join(faults)}"
            )
        return bool(faults)

    def _misplaced(self, one: Checked, statement: Statement) -> Iterator[str]:
        if (statement.device, statement.epoch) != (one.device, one.epoch):
            yield "it was made for another device or epoch"
        number, head = statement.after
        if number >= one.device_seq:
            yield "it names a place that does not lie before its own"
        elif head is not None and any(member.payload_hash != head for member in self._at(one.epoch, number, number)):
            yield f"it follows another bundle than device_seq {number}"

    def _back_dated(self, one: Checked, statement: Statement) -> Iterator[str]:
        """Mark a retirement that claims a place or a time before its own; times of a robot prove nothing by themselves."""
        what = f"device {self.device}: back-dated retirement at {_place(one)}, which it counts from"
        said, sealed = _moment(statement.time), _moment(one.created_at)
        if abs((sealed - said).total_seconds()) > _SLACK_SECONDS:
            yield f"{what}: it says {statement.time}, and was sealed at {one.created_at}"
        named = statement.after[0]
        between = self._at(one.epoch, named + 1, one.device_seq - 1)
        earlier = [member for member in between if (said - _moment(member.created_at)).total_seconds() > _SLACK_SECONDS]
        if earlier:
            yield f"{what}: it says that it follows device_seq {named}, with {len(earlier)} older bundles between"

    def _dispute(self, statement: Statement, members: Sequence[Checked]) -> None:
        """Mark what the key signed from the first bundle at the suspected time on, by place: a clock may have gone back."""
        if statement.suspected_since is None or statement.old is None:
            return
        since, reached = _moment(statement.suspected_since, unreadable=_EARLIEST), False
        for member in members:
            reached = reached or _moment(member.created_at) >= since
            if reached and member.signers[0] == statement.old.ed25519:
                self._findings.disputed[member.payload_hash] = (
                    f"its key is suspected since {statement.suspected_since}, reason {statement.reason}"
                )

    def _cut_off(self, statement: Statement, heads: Mapping[str | None, tuple[int, str]]) -> None:
        for member in self._members:
            if member.epoch == statement.epoch - 1:
                seq, head = heads.get(member.robot_id, (0, ""))
                if member.seq > seq or (member.seq == seq and member.payload_hash != head):
                    self._findings.condemned[member.payload_hash].append(
                        f"lies beyond the last heads that the adoption of epoch {statement.epoch} names"
                    )

    def _at(self, epoch: int, first: int, last: int) -> list[Checked]:
        return [member for member in self._members if member.epoch == epoch and first <= member.device_seq <= last]


def _identity(key: Key) -> _Identity:
    return key.ed25519, key.p256, key.kind


def _signer(one: Checked) -> _Identity:
    return one.signers[0], (one.signers[1] if len(one.signers) > 1 else None), one.key_kind


def _place(one: Checked) -> str:
    return f"epoch {one.epoch} device_seq {one.device_seq}"


def _moment(text: str, *, unreadable: datetime = _LATEST) -> datetime:
    """Read a time. A bundle's that is none lies after every other, so that it is disputed rather than not."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = unreadable
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
