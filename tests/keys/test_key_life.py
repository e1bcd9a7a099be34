"""Keys over a robot's life, with the real store, records and sealer: whatever is killed, the chain verifies end to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from actod.errors import RejectedError, TransientError
from actod.keys.ring import FILE, last_used_key, read_state
from actod.proof.chain import Report, verify_set
from actod.proof.thumbprint import base64url
from actod.proof.trust import Trust
from actod.proof.verify import Verdict
from tests.keys.family import Family, Life, Robot, killed, live
from tests.proof.device import Holder, trust_of

OPERATOR = SigningKey.generate()
TRUSTED = base64url(bytes(OPERATOR.verify_key))
Scenario = Callable[[Life], Awaitable[None]]


def run(robot: Robot, *scenarios: Scenario) -> None:
    for scenario in scenarios:
        asyncio.run(live(robot, scenario))


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return Robot(folder, Family())


async def report(life: Life) -> None:
    await life.report()


async def rotate(life: Life) -> None:
    assert (await life.keys.rotate(reason="scheduled"))["done"]


def verify(robot: Robot, *, first: int = 1) -> Report:
    """Verify all that was sealed, against the enrolment of the first key alone."""
    trust: Trust = trust_of(robot.family.holders[first])
    report = verify_set(robot.envelopes(), trust=Trust(trust.devices, frozenset({TRUSTED})), require_hardware=True)
    problems = [*report.problems, *(p for one in report.envelopes for p in one.problems)]
    problems += [problem for chain in report.chains for problem in chain.problems]
    assert (report.verdict, problems) == (Verdict.VALID, [])
    return report


def signers(report: Report) -> list[str]:
    """Return the keys in the order of their use, by the chain."""
    ones = sorted((one for one in report.envelopes), key=lambda one: (one.epoch, one.device_seq))
    return list(dict.fromkeys(one.signers[0] for one in ones))


@pytest.mark.parametrize("sealed", [False, True], ids=["on-token", "sealed"])
def test_keys_rotate_and_the_chain_says_so(tmp_path: Path, sealed: bool) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    robot = Robot(tmp_path / "state", Family(sealed=sealed))
    run(robot, report, rotate, report, rotate, report)
    report_ = verify(robot)
    assert signers(report_) == [robot.family.enrolled(number).ed25519_thumbprint for number in (1, 2, 3)]
    assert [fields["ed25519"] for fields in robot.events("key.rotated")] == signers(report_)[1:]
    state = read_state(robot.folder)
    assert state is not None
    assert (state.current and state.current.ed25519, state.pending, len(state.past)) == (signers(report_)[2], None, 2)
    assert (robot.folder / FILE).stat().st_mode & 0o777 == 0o600


def test_a_rotation_that_is_killed_at_any_step_is_healed_by_the_next_start(tmp_path: Path) -> None:
    step, finished = 0, False
    while not finished:
        folder = tmp_path / str(step)
        folder.mkdir(mode=0o700)
        robot = Robot(folder, Family())
        run(robot, report)
        robot.steps_left = step
        with killed():
            run(robot, rotate)
            finished = True
        robot.steps_left = None
        run(robot, report, report)  # two starts: what the first leaves undone, if anything, the second would show
        state = read_state(folder)
        assert state is not None
        assert state.pending is None
        assert len(state.past) == bool(robot.events("key.rotating"))  # what was begun goes on by itself
        assert len(signers(verify(robot))) == len(state.past) + 1
        run(robot, *[] if state.past else [rotate], report)
        assert signers(verify(robot)) == [robot.family.enrolled(number).ed25519_thumbprint for number in (1, 2)]
        step += 1
    assert step >= 5


def test_a_rotation_comes_into_force_only_when_its_record_is_sealed(robot: Robot) -> None:
    async def rotate_while_sealing_waits(life: Life) -> None:
        await life.report()
        old, connection = life.ring.state.current, life.ring._signer
        connection.away = "token_away"  # type: ignore[attr-defined]
        rotation = asyncio.create_task(life.keys.rotate(reason="scheduled"))
        while life.sealer.waiting != "token_away":
            await asyncio.sleep(0.005)
        assert (robot.events("key.rotating") != [], life.ring.state.current) == (True, old)
        connection.away = ""  # type: ignore[attr-defined]
        assert (await rotation)["done"]
        assert life.ring.state.current != old

    run(robot, rotate_while_sealing_waits, report)
    assert len(signers(verify(robot))) == 2


def test_a_record_that_is_signed_but_not_stored_yet_brings_no_key_into_force(robot: Robot) -> None:
    async def rotate_while_the_disk_is_slow(life: Life) -> None:
        await life.report()
        old, put, stored = life.ring.state.current, life.spool.put, asyncio.Event()

        async def slow_put(*arguments: Any) -> None:
            await stored.wait()
            await put(*arguments)

        life.spool.put = slow_put  # type: ignore[method-assign]
        rotation = asyncio.create_task(life.keys.rotate(reason="scheduled"))
        while life.ring._carried is None:
            await asyncio.sleep(0.005)
        for _ in range(3):
            heads = await life.spool.heads()
            await life.ring.settle(heads.epoch, heads.device_seq)
        assert life.ring.state.current == old
        stored.set()
        assert (await rotation)["done"]

    run(robot, rotate_while_the_disk_is_slow, report)
    assert len(signers(verify(robot))) == 2


def test_a_retired_key_is_replaced_first_and_its_bundles_are_disputed(robot: Robot) -> None:
    async def retire(life: Life) -> None:
        life.robot.clock.advance(1)
        since = life.ring.now()
        await life.report()
        done = await life.keys.retire(ed25519=None, reason="compromised", suspected_since=since)
        assert done["retired"] == robot.family.enrolled(1).ed25519_thumbprint
        await life.report()
        with pytest.raises(RejectedError, match="key_unused"):
            await life.keys.retire(ed25519="x" * 43, reason="compromised", suspected_since=None)

    run(robot, report, retire, report)
    report_ = verify(robot)
    assert (len(signers(report_)), report_.marks) == (2, [])
    assert {bool(one.disputed) for one in report_.envelopes if one.signers[0] == signers(report_)[0]} == {True, False}
    assert not any(one.disputed for one in report_.envelopes if one.signers[0] == signers(report_)[1])
    state = read_state(robot.folder)
    assert state is not None
    assert [past.retired for past in state.past] == [True]


def dead(robot: Robot) -> None:
    """Put another token in the place of one that died."""
    robot.family.holders = {1: Family().holders[1]}


def adoption(life: Life, **members: Any) -> Awaitable[dict[str, Any]]:
    return life.keys.prepare_adoption(**({"operator": TRUSTED, "reason": "dead", "suspected_since": None} | members))


async def adopt(life: Life) -> None:
    statement = (await adoption(life))["statement"]
    await life.keys.adopt(signature=base64url(OPERATOR.sign(statement.encode()).signature))


async def wait_and_adopt(life: Life) -> None:
    await life.records.write("heartbeat")
    await life.spool.seal_now()
    while life.sealer.waiting != "key_gone":
        await asyncio.sleep(0.005)
    await adopt(life)
    await life.sealed()


def test_where_the_key_is_gone_sealing_waits_and_an_operators_signature_begins_an_epoch(robot: Robot) -> None:
    run(robot, report, rotate, report)
    first = robot.family.holders[1]
    dead(robot)
    run(robot, wait_and_adopt, report, rotate, report)
    robot.family.holders[1], robot.family.holders[9] = first, robot.family.holders[1]
    report_ = verify(robot)
    assert [(chain.epoch, chain.problems) for chain in report_.chains] == [(1, []), (2, [])]
    assert len(signers(report_)) == 4
    assert any("epoch 2 adopts a new key, reason dead" in note for note in report_.notes)


def test_an_adoption_that_is_killed_at_any_step_is_healed_by_the_next_start(tmp_path: Path) -> None:
    step, finished = 0, False
    while not finished:
        folder = tmp_path / str(step)
        folder.mkdir(mode=0o700)
        robot = Robot(folder, Family())
        run(robot, report)
        first = robot.family.holders[1]
        dead(robot)
        robot.steps_left = step
        with killed():
            run(robot, adopt)
            finished = True
        robot.steps_left = None
        state = read_state(folder)
        assert state is not None
        if not state.past and state.pending is None:  # the operator brings his signature again, or asks again
            run(robot, adopt)
        run(robot, report)
        new = robot.family.holders[1]
        robot.family.holders = {1: first, 2: new}
        report_ = verify(robot)
        assert [chain.epoch for chain in report_.chains] == [1, 2]
        step += 1
    assert step >= 5


def test_an_adoption_is_refused_by_name_where_it_does_not_fit(robot: Robot) -> None:
    async def while_the_key_is_there(life: Life) -> None:
        await life.report()
        with pytest.raises(RejectedError, match="key_present"):
            await adoption(life)
        with pytest.raises(RejectedError, match="nothing_prepared"):
            await life.keys.adopt(signature=base64url(bytes(64)))

    async def with_a_wrong_signature(life: Life) -> None:
        statement = (await adoption(life))["statement"]
        for signature in (base64url(bytes(64)), "x", base64url(SigningKey.generate().sign(statement.encode()).signature)):
            with pytest.raises(RejectedError, match="statement_unsigned"):
                await life.keys.adopt(signature=signature)
        assert (await life.spool.heads()).epoch == 1
        with pytest.raises(RejectedError, match="operator_malformed"):
            await adoption(life, operator="x")

    async def after_the_chains_went_on(life: Life) -> None:
        await life.spool.begin_epoch("cloned")
        statement = life.ring.state.prepared.statement.message  # type: ignore[union-attr]
        with pytest.raises(RejectedError, match="statement_stale"):
            await life.keys.adopt(signature=base64url(OPERATOR.sign(statement).signature))

    run(robot, while_the_key_is_there)
    dead(robot)
    run(robot, with_a_wrong_signature, after_the_chains_went_on)


def test_half_a_pair_that_a_kill_left_on_the_token_does_not_stop_rotations(robot: Robot) -> None:
    robot.family.half_made = 2
    run(robot, report, rotate, report)
    assert signers(verify(robot)) == [robot.family.enrolled(number).ed25519_thumbprint for number in (1, 3)]


def test_a_rotation_needs_the_key_in_use(robot: Robot) -> None:
    async def rotate_with_another_token(life: Life) -> None:
        with pytest.raises(TransientError, match="key_gone"):
            await life.keys.rotate(reason="scheduled")

    run(robot, report)
    dead(robot)
    run(robot, rotate_with_another_token)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 2}', None])
def test_a_lost_or_damaged_file_is_healed_by_what_the_audit_log_names(robot: Robot, damage: bytes | None) -> None:
    run(robot, report, rotate, report)
    robot.family.make(3)  # a successor that was made, and never used
    if damage is None:
        (robot.folder / FILE).unlink()
    else:
        (robot.folder / FILE).write_bytes(damage)
    run(robot, report)
    assert signers(verify(robot)) == [robot.family.enrolled(number).ed25519_thumbprint for number in (1, 2)]
    assert len(robot.events("key.file_damaged")) == (damage is not None)


def test_the_first_key_is_enrolled_in_the_chain_once(robot: Robot) -> None:
    async def look(life: Life) -> None:
        await life.report()
        await life.keys._go_on()
        await life.keys._go_on()
        await life.sealed()

    run(robot, look, look)
    topics = [
        event["topic"]
        for envelope in robot.envelopes()
        for event in envelope["payload"]["telemetry_normalized"]["events"]
        if event["topic"].startswith("actod/key_")
    ]
    assert topics == ["actod/key_enrolment"]
    assert any("enrolment at epoch 1" in note for note in verify(robot).notes)


def test_an_old_key_is_told_once_a_day(robot: Robot) -> None:
    async def a_year_later(life: Life) -> None:
        await life.report()
        life.robot.clock.advance(366 * 86400)
        assert life.keys._warn_of_age()

    run(robot, a_year_later)
    assert robot.events("key.old") == [{"days": 366, "allowed_days": 365}]


def test_the_last_used_key_is_read_from_the_audit_log() -> None:
    first, second = Holder.make().key, Holder.make(sealed=True).key
    lines: list[tuple[str, Any]] = [("key.used", asdict(first)), ("seal.waiting", {}), ("key.used", asdict(second))]
    assert last_used_key(lines) == second
    assert last_used_key([*lines, ("key.used", {"ed25519": "b"})]) == second
    assert last_used_key([]) is None


def test_a_lost_file_and_another_token_are_no_way_around_the_operator(robot: Robot) -> None:
    run(robot, report, rotate, report)
    (robot.folder / FILE).unlink()
    lost = robot.family.holders[1]
    dead(robot)
    run(robot, wait_and_adopt, report)
    robot.family.holders[1], robot.family.holders[9] = lost, robot.family.holders[1]
    report_ = verify(robot)
    assert [(chain.epoch, chain.problems) for chain in report_.chains] == [(1, []), (2, [])]


def test_no_private_key_stands_in_the_file(robot: Robot) -> None:
    run(robot, report, rotate, report)
    text = (robot.folder / FILE).read_text()
    assert json.loads(text)["version"] == 1
    for holder in robot.family.holders.values():
        for form in (bytes(holder.ed25519).hex(), base64url(bytes(holder.ed25519))):
            assert form not in text
