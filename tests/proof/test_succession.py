"""Keys over a device's life: what follows verifies end to end, and each forgery is refused or marked by its name."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from nacl.signing import SigningKey

from actod.proof.chain import Report, verify_set
from actod.proof.statements import Signature
from actod.proof.thumbprint import base64url
from actod.proof.trust import Trust
from actod.proof.trust import read as read_trust
from actod.proof.verify import Verdict
from tests.proof.device import Device, Holder, es256, trust_of, with_signature
from tests.proof.test_verify_envelope import resign, stock_verdicts

OPERATOR = SigningKey.generate()


def verify(chain: list[Any], trust: Trust | None, *, hardware: bool = True) -> Report:
    return verify_set(chain, trust=trust, require_hardware=hardware and trust is not None)


def told(report: Report) -> str:
    """Everything that a report says against a set."""
    return "\n".join(
        [
            *(problem for one in report.envelopes for problem in one.problems),
            *(problem for chain in report.chains for problem in chain.problems),
            *report.problems,
        ]
    )


def life(*, sealed: bool) -> tuple[Device, list[Holder]]:
    """Live through a rotation, a retirement, and an adoption."""
    holders = [Holder.make(sealed=sealed) for _ in range(3)]
    device = Device(holders[0])
    device.seal()
    device.seal(robot="r2")
    device.rotate(holders[1])
    device.seal()
    device.say(device.retirement(holders[0], reason="compromised", suspected_since=None))
    device.seal()
    adoption = device.adoption(holders[2], OPERATOR)
    device.begin_epoch(holders[2])
    device.seal()  # what was journaled meanwhile may come before the record
    device.say(adoption)
    device.seal(robot="r2")
    return device, holders


@pytest.mark.parametrize("sealed", [False, True], ids=["on-token", "sealed"])
def test_a_rotated_retired_and_adopted_chain_verifies_end_to_end(sealed: bool) -> None:
    device, holders = life(sealed=sealed)
    for trust in (None, trust_of(holders[0], operators=(OPERATOR,)), trust_of(*holders, operators=(OPERATOR,))):
        report = verify(device.chain, trust)
        assert (report.verdict, told(report), report.marks) == (Verdict.VALID, "", [])
        assert [note for note in report.notes if note.startswith("device device-1: ")] == [
            "device device-1: rotation at epoch 1 device_seq 3, reason scheduled",
            "device device-1: retirement at epoch 1 device_seq 5, reason compromised",
            "device device-1: epoch 2 adopts a new key, reason dead",
        ]
        assert not any("store had been lost" in note for note in report.notes)
    assert all(verdict["valid"] for verdict in stock_verdicts(device.chain))


def test_a_trust_file_reads_back_as_what_was_written() -> None:
    trust = trust_of(Holder.make(), Holder.make(sealed=True), operators=(OPERATOR,))
    written = orjson.loads(orjson.dumps(trust.file))
    assert read_trust([written]) == trust
    assert read_trust([written, written]) == trust


def test_a_key_that_nobody_enrolled_is_refused_and_so_is_an_unknown_device() -> None:
    device = Device(Holder.make())
    device.seal()
    for trust in (trust_of(Holder.make()), trust_of(device.holder, device="another")):
        report = verify(device.chain, trust)
        assert report.verdict is Verdict.INVALID
        assert "signed by a key that is not enrolled" in told(report)
    assert verify(device.chain, trust_of(device.holder, device=None)).verdict is Verdict.VALID


def test_a_robot_whose_id_nobody_noted_cannot_speak_for_one_that_is_named() -> None:
    unnamed, named = Holder.make(sealed=True), Holder.make(sealed=True)
    trust = Trust({None: (unnamed.key,), "device-1": (named.key,)}, frozenset())
    device = Device(unnamed)
    device.seal()
    report = verify(device.chain, trust)
    assert (report.verdict, "signed by a key that is not enrolled" in told(report)) == (Verdict.INVALID, True)
    device.holder, device.chain, device.device_seq, device.heads = named, [], 0, {}
    device.seal()
    assert verify(device.chain, trust).verdict is Verdict.VALID


def test_one_key_that_signs_for_two_devices_is_marked() -> None:
    holder = Holder.make()
    chains = [Device(holder, name=name) for name in ("device-1", "device-2")]
    for device in chains:
        device.seal()
    report = verify([one for device in chains for one in device.chain], trust_of(holder, device=None))
    assert report.verdict is Verdict.VALID
    assert report.marks == [f"key {holder.key.ed25519} signs for more than one device: device-1, device-2"]
    assert verify(chains[0].chain, trust_of(holder, device=None)).marks == []


def forge(change: Callable[[Device, Holder, Holder], None], *, sealed: bool = True) -> Report:
    """Verify a life in which something was forged, against the enrolment of its first key."""
    old, new = Holder.make(sealed=sealed), Holder.make(sealed=sealed)
    device = Device(old)
    device.seal()
    change(device, old, new)
    return verify(device.chain, trust_of(old, operators=(OPERATOR,)))


def rotation(device: Device, old: Holder, new: Holder, /, **members: Any) -> Any:
    from actod.proof.statements import Signed  # noqa: PLC0415 - beside its one use

    statement = device.statement("rotation", **({"old": old.key, "new": new.key} | members))
    return Signed(statement, {"old": old.sign(statement.message), "new": new.sign(statement.message)})


def without_old(device: Device, old: Holder, new: Holder) -> None:
    device.say(with_signature(rotation(device, old, new), "old", Signature(base64url(bytes(64)), base64url(bytes(64)))))
    device.seal(holder=new)


def by_a_thief_without_the_token(device: Device, old: Holder, new: Holder) -> None:
    signed = rotation(device, old, new)
    other = Holder.make(sealed=True)
    stolen = dataclasses.replace(old.sign(signed.statement.message), p256=other.sign(signed.statement.message).p256)
    device.say(with_signature(signed, "old", stolen))
    device.seal(holder=new)


def without_new(device: Device, old: Holder, new: Holder) -> None:
    signed = rotation(device, old, new)
    device.say(dataclasses.replace(signed, signatures={"old": signed.signatures["old"]}))
    device.seal(holder=new)


def of_another_device(device: Device, old: Holder, new: Holder) -> None:
    device.say(rotation(device, old, new, device="device-2"))
    device.seal(holder=new)


def behind_another_bundle(device: Device, old: Holder, new: Holder) -> None:
    device.say(rotation(device, old, new, after=(1, "f" * 64)))
    device.seal(holder=new)


def from_a_place_to_come(device: Device, old: Holder, new: Holder) -> None:
    device.say(rotation(device, old, new, after=(2, "f" * 64)))
    device.seal(holder=new)


def from_a_key_that_is_not_in_use(device: Device, old: Holder, new: Holder) -> None:
    del old
    device.say(rotation(device, Holder.make(sealed=True), new))
    device.seal(holder=new)


def carried_by_the_new_key(device: Device, old: Holder, new: Holder) -> None:
    device.say(rotation(device, old, new), holder=new)


def never_said(device: Device, old: Holder, new: Holder) -> None:
    del old
    device.seal(holder=new)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (without_old, "forged rotation at epoch 1 device_seq 2: the signature of the old key does not verify"),
        (by_a_thief_without_the_token, "forged rotation at epoch 1 device_seq 2: the token's own signature of the old key"),
        (without_new, "forged rotation at epoch 1 device_seq 2: the signature of the new key is missing"),
        (of_another_device, "forged rotation at epoch 1 device_seq 2: it was made for another device or epoch"),
        (behind_another_bundle, "forged rotation at epoch 1 device_seq 2: it follows another bundle than device_seq 1"),
        (from_a_place_to_come, "forged rotation at epoch 1 device_seq 2: it names a place that does not lie before its own"),
        (
            from_a_key_that_is_not_in_use,
            "forged rotation at epoch 1 device_seq 2: it does not speak of the key that is in use",
        ),
        (carried_by_the_new_key, "signed by a key that is not enrolled, and nothing in this set leads to it"),
        (never_said, "signed by a key that is not enrolled, and nothing in this set leads to it"),
    ],
)
def test_a_forged_rotation_is_named_and_the_key_that_it_names_is_refused(
    change: Callable[[Device, Holder, Holder], None], name: str
) -> None:
    report = forge(change)
    assert report.verdict is Verdict.INVALID
    assert name in told(report)
    assert "signed by a key that is not enrolled" in told(report)


def test_a_rotation_that_is_repeated_says_nothing_new_and_one_key_never_comes_back() -> None:
    old, new = Holder.make(), Holder.make()
    device = Device(old)
    device.seal()
    said = rotation(device, old, new)
    device.say(said)
    device.seal()  # the old key may go on until the new one was used: a kill lies between
    device.say(said)
    device.holder = new
    device.seal()
    device.say(said)
    assert verify(device.chain, trust_of(old)).verdict is Verdict.VALID
    assert verify(device.chain[4:], trust_of(new)).verdict is Verdict.VALID  # a window behind its first place
    device.seal(holder=old)
    report = verify(device.chain, trust_of(old))
    assert "signed by a key that was replaced at epoch 1 device_seq 5" in told(report)
    assert [one.problems != [] for one in report.envelopes] == [False] * 6 + [True]


def test_a_statement_that_a_repair_carried_into_the_next_epoch_is_void_but_a_retirement_counts_there() -> None:
    old, new, third = (Holder.make() for _ in range(3))
    device = Device(old)
    device.seal()
    late = rotation(device, old, third)
    device.rotate(new)
    retirement = device.retirement(old)
    device.begin_epoch(new)
    device.say(retirement)
    device.say(late)
    report = verify(device.chain, trust_of(old))
    assert (report.verdict, told(report)) == (Verdict.VALID, "")
    assert "device device-1: rotation of an epoch before, void, at epoch 2 device_seq 2" in report.notes
    device.seal(holder=third)
    assert "signed by a key that is not enrolled" in told(verify(device.chain, trust_of(old)))
    device.seal(holder=old)
    assert "signed by a key that was retired at epoch 2 device_seq 1" in told(verify(device.chain, trust_of(old)))


def test_a_swapped_or_removed_cosignature_is_named_for_each_way_to_do_it() -> None:
    holder, thief = Holder.make(sealed=True), Holder.make(sealed=True)
    trust = trust_of(holder)
    stolen = dataclasses.replace(thief, ed25519=holder.ed25519)  # a copy of the sealed key, but not of the token
    bare = dataclasses.replace(holder, p256=None, kind="on-token")
    for forger, name in (
        (stolen, "the co-signature was swapped: it is by another P-256 key"),
        (bare, "the co-signature was removed: this key signs together with a P-256 key of its token"),
    ):
        device = Device(holder)
        device.seal()
        device.seal(holder=forger)
        assert all(verdict["valid"] for verdict in stock_verdicts(device.chain))
        report = verify(device.chain, trust)
        assert (report.verdict, name in told(report)) == (Verdict.INVALID, True)
    device = Device(holder)
    first, second = device.seal(), device.seal()
    other = copy.deepcopy(second)
    other["payload"]["meta"]["actod"]["cosign"] = first["payload"]["meta"]["actod"]["cosign"]
    removed = copy.deepcopy(second)
    del removed["payload"]["meta"]["actod"]["cosign"]
    for forged, name in (
        (other, "cosign does not verify under the P-256 key named inside"),
        (removed, "the token's own signature (cosign) is missing"),
    ):
        report = verify([first, resign(forged, key=holder.ed25519)], trust)
        assert (report.verdict, name in told(report)) == (Verdict.INVALID, True)


def test_a_bundle_signed_again_by_a_stranger_is_refused_though_the_stock_verifier_takes_it() -> None:
    holder, stranger = Holder.make(sealed=True), Holder.make(sealed=True)
    device = Device(holder)
    first, second = device.seal(), device.seal()
    signed_again = resign(second, key=stranger.ed25519)
    rewritten = copy.deepcopy(second)  # who names himself inside, too, is found out by the enrolment alone
    meta = rewritten["payload"]["meta"]["actod"]
    meta["key"] = {"ed25519": stranger.key.ed25519, "p256": stranger.key.p256, "kind": "sealed"}
    del meta["cosign"]
    bare = resign(rewritten, key=stranger.ed25519)["payload"]
    del bare["payload_hash"]
    meta["cosign"] = base64url(es256(stranger.p256, orjson.dumps(bare, option=orjson.OPT_SORT_KEYS)))  # type: ignore[arg-type]
    rewritten = resign(rewritten, key=stranger.ed25519)
    plain = copy.deepcopy(second)
    del plain["payload"]["meta"]["actod"]
    plain = resign(plain, key=stranger.ed25519)
    assert [one["valid"] for one in stock_verdicts([signed_again, rewritten, plain])] == [True] * 3
    for forged, name in (
        (signed_again, "the signer is not the key named inside: signed again by a stranger"),
        (
            rewritten,
            "signed by a key that is not enrolled, and nothing in this set leads to it: signed again by a stranger?",
        ),
        (plain, "it names no device: nobody enrolled its key"),
    ):
        report = verify([first, second, forged], trust_of(holder))
        assert (report.verdict, told(report)) == (Verdict.INVALID, name)
        assert report.chains[0].count == 2  # and it makes no fork of what is true


def test_a_replayed_bundle_is_marked_and_in_another_place_refused() -> None:
    device = Device(Holder.make())
    first = device.seal()
    device.seal()
    report = verify_set([*device.chain, first], sources=["one", "two", "three"], trust=trust_of(device.holder))
    assert report.verdict is Verdict.VALID
    assert report.copies == [f"three: proof {report.envelopes[0].proof_id}"]
    replayed = copy.deepcopy(first)
    replayed["payload"]["meta"]["actod"] |= {"seq": 3, "device_seq": 3}
    report = verify([*device.chain, replayed], trust_of(device.holder))
    assert "payload_hash does not match the content" in told(report)


def retired(*, since: timedelta | None = None, **members: Any) -> tuple[Device, Holder]:
    """Seal five bundles with a key, replace it, and retire it at device_seq 7, at 03:07."""
    old, new = Holder.make(), Holder.make()
    device = Device(old)
    for _ in range(5):
        device.seal()
    device.rotate(new, reason="suspected")
    suspected = (device.chain[0]["payload"]["created_at"]) if since is None else (device.now - since).isoformat()
    device.say(device.retirement(old, **({"suspected_since": suspected, "reason": "compromised"} | members)))
    return device, old


def test_a_retired_keys_earlier_bundles_are_disputed_from_the_suspected_time_on_and_stay_valid() -> None:
    device, old = retired(since=timedelta(minutes=3))
    device.seal()
    report = verify(device.chain, trust_of(old))
    assert (report.verdict, report.marks) == (Verdict.VALID, [])
    assert [bool(one.disputed) for one in report.envelopes] == [False, False, True, True, True, True, False, False]
    assert "reason compromised" in report.envelopes[3].disputed


def test_a_clock_that_went_back_does_not_hide_what_is_disputed() -> None:
    old, new = Holder.make(), Holder.make()
    device = Device(old)
    device.seal()
    device.seal()
    since = device.now.isoformat()
    device.now -= timedelta(days=365)
    device.seal()
    device.now += timedelta(days=365)
    device.rotate(new)
    device.say(device.retirement(old, suspected_since=since))
    report = verify(device.chain, trust_of(old))
    assert [bool(one.disputed) for one in report.envelopes] == [False, True, True, True, False]


def test_a_statement_whose_maker_had_not_the_newest_bundle_any_more_counts() -> None:
    old, new = Holder.make(), Holder.make()
    device = Device(old)
    device.seal()
    device.rotate(new, after=(1, None))  # delivered, and gone from the archive
    device.say(device.retirement(old, after=(2, None)))
    report = verify(device.chain, trust_of(old))
    assert (report.verdict, report.problems, report.marks) == (Verdict.VALID, [], [])


def test_a_suspected_time_that_is_none_disputes_everything() -> None:
    device, old = retired(suspected_since="last week")
    report = verify(device.chain, trust_of(old))
    disputed = [bool(one.disputed) for one in report.envelopes]
    assert (report.verdict, disputed) == (Verdict.VALID, [True] * 6 + [False])


def test_a_retired_keys_later_bundle_is_refused_by_name() -> None:
    device, old = retired()
    device.seal(holder=old)
    report = verify(device.chain, trust_of(old))
    assert report.verdict is Verdict.INVALID
    assert "signed by a key that was retired at epoch 1 device_seq 7" in told(report)
    assert [bool(one.problems) for one in report.envelopes] == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("members", "mark"),
    [
        ({"after": 2}, "it says that it follows device_seq 2, with 3 older bundles between"),
        ({"time": "2026-01-02T03:02:30+00:00"}, "it says 2026-01-02T03:02:30+00:00, and was sealed at 2026-01-02T03:07"),
        ({"time": "2026-01-02T04:00:00+00:00"}, "it says 2026-01-02T04:00:00+00:00, and was sealed at 2026-01-02T03:07"),
    ],
)
def test_a_back_dated_retirement_is_marked_and_counts_from_its_own_place(members: dict[str, Any], mark: str) -> None:
    old, new = Holder.make(), Holder.make()
    device = Device(old)
    for _ in range(5):
        device.seal()
    device.rotate(new)
    device.now += timedelta(seconds=10)
    if "after" in members:
        members = {"after": (2, device.chain[1]["payload"]["payload_hash"])}
    device.say(device.retirement(old, **members))
    report = verify(device.chain, trust_of(old))
    assert report.verdict is Verdict.VALID  # nothing that stands before its place is refused
    assert any("back-dated retirement at epoch 1 device_seq 7" in one and mark in one for one in report.marks), report.marks
    device.seal(holder=old)
    assert "signed by a key that was retired at epoch 1 device_seq 7" in told(verify(device.chain, trust_of(old)))


@pytest.mark.parametrize(
    ("after", "name"),
    [((7, "f" * 64), "a place that does not lie before its own"), ((6, "f" * 64), "it follows another bundle")],
)
def test_a_retirement_whose_place_cannot_be_is_forged(after: tuple[int, str], name: str) -> None:
    device, old = retired(after=after)
    report = verify(device.chain, trust_of(old))
    assert report.verdict is Verdict.INVALID
    assert "forged retirement at epoch 1 device_seq 7: " in told(report)
    assert name in told(report)
    assert not any(one.disputed for one in report.envelopes)


def test_a_key_cannot_retire_itself() -> None:
    device = Device(Holder.make())
    device.seal()
    device.say(device.retirement(device.holder))
    assert "no key can retire itself" in told(verify(device.chain, trust_of(device.holder)))


def adopted(change: Callable[[Any, Holder], Any], *, trusted: bool = True) -> Report:
    old, new = Holder.make(), Holder.make()
    device = Device(old)
    device.seal()
    device.seal(robot="r2")
    signed = change(device.adoption(new, OPERATOR), new)
    device.begin_epoch(new)
    device.say(signed)
    return verify(device.chain, trust_of(old, operators=(OPERATOR,) if trusted else ()))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (
            lambda signed, _new: with_signature(signed, "operator", Signature(base64url(bytes(64)))),
            "the signature of the operator does not verify",
        ),
        (
            lambda signed, _new: dataclasses.replace(signed, signatures={"new": signed.signatures["new"]}),
            "the signature of the operator is missing",
        ),
        (lambda signed, _new: dataclasses.replace(signed, heads=signed.heads[:1]), "the heads beside it are not those"),
        (
            lambda signed, _new: with_signature(signed, "new", Holder.make().sign(signed.statement.message)),
            "the signature of the new key does not verify",
        ),
    ],
)
def test_a_forged_adoption_is_named(change: Callable[[Any, Holder], Any], name: str) -> None:
    report = adopted(change)
    assert report.verdict is Verdict.INVALID
    assert "forged adoption at epoch 2 device_seq 1: " in told(report)
    assert name in told(report)
    assert "signed by a key that is not enrolled" in told(report)


def test_an_adoption_by_an_operator_whom_nobody_trusts_is_refused() -> None:
    assert adopted(lambda signed, _new: signed).verdict is Verdict.VALID
    report = adopted(lambda signed, _new: signed, trusted=False)
    assert report.verdict is Verdict.INVALID
    assert "the operator who signed it is not in the trust file" in told(report)


def test_a_key_that_died_before_its_first_bundle_can_be_followed_by_another() -> None:
    old, successor, new = Holder.make(), Holder.make(), Holder.make()
    device = Device(old)
    device.seal()
    device.rotate(successor)
    adoption = device.adoption(new, OPERATOR)
    device.begin_epoch(new)
    device.say(adoption)
    assert verify(device.chain, trust_of(old, operators=(OPERATOR,))).verdict is Verdict.VALID


def test_what_the_old_key_signs_beyond_the_adopted_heads_is_refused() -> None:
    old, new = Holder.make(), Holder.make()
    device = Device(old)
    device.seal()
    adoption = device.adoption(new, OPERATOR)
    device.seal()  # by one who has the old key after all
    device.begin_epoch(new)
    device.say(adoption)
    device.seal(holder=old)
    report = verify(device.chain, trust_of(old, operators=(OPERATOR,)))
    assert [one.problems for one in report.envelopes] == [
        [],
        ["lies beyond the last heads that the adoption of epoch 2 names"],
        [],
        ["signed by a key that was replaced at epoch 2, which adopted another"],
    ]


def test_a_software_key_is_not_enough_where_hardware_is_required() -> None:
    device = Device(dataclasses.replace(Holder.make(), kind="software"))
    device.seal()
    report = verify(device.chain, trust_of(device.holder))
    assert told(report) == "a software key: the signature of a chip is required"
    assert verify(device.chain, trust_of(device.holder), hardware=False).verdict is Verdict.VALID


@pytest.mark.parametrize("purpose", ["rotation", "retirement", "adoption", "enrolment"])
def test_a_record_that_is_not_what_its_topic_says_makes_its_bundle_invalid(purpose: str) -> None:
    device = Device(Holder.make())
    device.seal({"data": {"statement": {}}, "topic": f"actod/key_{purpose}", "ts": "t"}, robot=None)
    assert f"a record of topic actod/key_{purpose} is not what it is called" in told(verify(device.chain, None))


def test_messages_of_a_robot_cannot_pass_for_statements() -> None:
    device = Device(Holder.make())
    device.seal({"data": {"statement": {}}, "topic": "actod/key_rotation", "ts": "t"}, robot="r1")
    assert verify(device.chain, trust_of(device.holder)).verdict is Verdict.VALID
