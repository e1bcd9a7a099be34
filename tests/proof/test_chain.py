"""Chains: every hole, fork, swap and stranger of a set is named with its number, whatever the order of the set."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from actod.model import Envelope, Stream, TrafficClass
from actod.proof.chain import verify_set
from actod.proof.verify import Verdict

Chains = Callable[..., list[dict[str, Any]]]
Forge = Callable[..., Envelope]
ROBOTS: list[str | None] = ["r1", None, "r2", "r1", "r1", None, "r2", "r1", "r2", "r1"]


def test_a_whole_set_is_valid_in_any_order_with_copies(chains: Chains) -> None:
    envelopes = chains(ROBOTS)
    shuffled = [*envelopes, envelopes[3], envelopes[3]]
    random.Random(1).shuffle(shuffled)  # noqa: S311 - an order, no secret
    report = verify_set(shuffled)
    assert report.verdict is Verdict.VALID
    assert [(chain.robot_id, chain.first, chain.last, chain.count) for chain in report.chains] == [
        (None, 1, 2, 2),
        ("r1", 1, 5, 5),
        ("r2", 1, 3, 3),
    ]
    assert report.repeated == 2
    assert report.losses == {"duplicate_key": 3 * len(ROBOTS)}  # a copy counts once


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.sets(st.integers(0, len(ROBOTS) - 1), max_size=len(ROBOTS) - 1))
def test_whatever_is_taken_out_of_the_middle_is_missed_by_number(chains: Chains, gone: set[int]) -> None:
    left = [envelope for index, envelope in enumerate(chains(ROBOTS)) if index not in gone]
    report = verify_set(left)
    numbers = [index + 1 for index in range(len(ROBOTS)) if index not in gone]
    missing = [number for number in range(numbers[0], numbers[-1]) if number not in numbers]
    named = [number for number in range(1, len(ROBOTS) + 1) for text in report.problems if _says(text, "device_seq", number)]
    assert named == missing
    assert (report.verdict is Verdict.VALID) is (missing == [])
    assert bool(report.notes) is (numbers[0] > 1)


def _says(text: str, name: str, number: int) -> bool:
    words = text.split(f"{name} ", 1)[1].split()
    first, last = int(words[0]), int(words[2]) if words[1] == "to" else int(words[0])
    return first <= number <= last


def test_a_hole_is_named_with_both_of_its_ends(chains: Chains) -> None:
    envelopes = chains(["r1"] * 9)
    report = verify_set(envelopes[:2] + envelopes[3:4] + envelopes[7:])
    assert report.chains[0].problems == ["seq 3 is missing", "seq 5 to 7 (3) are missing"]
    assert report.problems == [
        "device device-1 epoch 1: device_seq 3 is missing",
        "device device-1 epoch 1: device_seq 5 to 7 (3) are missing",
    ]


def test_a_window_of_a_chain_is_valid_and_says_where_it_begins(chains: Chains) -> None:
    report = verify_set(chains(["r1"] * 9)[4:7])
    assert report.verdict is Verdict.VALID
    assert report.chains[0].notes == ["begins at seq 5: what came before is not in this set"]


def test_a_fork_is_named_and_so_is_what_follows_neither_branch(chains: Chains, forge: Forge) -> None:
    envelopes = chains(["r1"] * 4)
    stream = Stream("r1", "task", None, TrafficClass.NORMAL)
    previous = envelopes[0]["payload"]["payload_hash"]
    event = [{"data": {"another": 1}, "topic": "t", "ts": "s"}]
    fork = orjson.loads(forge(events=event, seq=2, device_seq=2, previous=previous, stream=stream).body)
    report = verify_set([*envelopes, fork])
    assert report.chains[0].problems == ["seq 2 stands for 2 contents: a fork"]
    assert report.problems == ["device device-1 epoch 1: device_seq 2 stands for 2 contents: a fork"]
    report = verify_set([envelopes[0], fork, *envelopes[2:]])
    assert report.chains[0].problems == ["seq 3 does not follow seq 2: it names another predecessor"]


def test_bundles_of_two_chains_cannot_be_swapped(chains: Chains, forge: Forge) -> None:
    envelopes = chains(["r1", "r2"])
    stream = Stream("r1", "task", None, TrafficClass.NORMAL)
    other = envelopes[1]["payload"]["payload_hash"]
    crossed = orjson.loads(forge(seq=2, device_seq=3, previous=other, stream=stream).body)
    report = verify_set([*envelopes, crossed])
    assert report.verdict is Verdict.INVALID
    assert report.chains[0].problems == ["seq 2 does not follow seq 1: it names another predecessor"]


def test_a_chain_that_is_gone_altogether_shows_in_the_device_s_own_numbers(chains: Chains) -> None:
    envelopes = chains(["r1", "r2", "r1", "r2", "r1"])
    report = verify_set([envelopes[index] for index in (0, 2, 4)])
    assert report.chains[0].problems == []
    assert report.verdict is Verdict.INVALID
    assert len(report.problems) == 2


def test_an_invalid_envelope_fills_no_hole(chains: Chains) -> None:
    envelopes = chains(["r1"] * 3)
    envelopes[1]["payload"]["created_at"] = "2030-01-01T00:00:00+00:00"
    report = verify_set(envelopes)
    assert report.chains[0].problems == ["seq 2 is missing"]


def test_a_bundle_replaced_by_smaller_ones_is_explained_and_only_that_one(chains: Chains, forge: Forge) -> None:
    envelopes = chains(["r1"] * 5)
    hashes = [envelope["payload"]["payload_hash"] for envelope in envelopes]
    smaller, previous = [], hashes[4]
    for number in (6, 7):
        made = forge(
            seq=number,
            device_seq=number,
            previous=previous,
            replaces=hashes[2],
            stream=Stream("r1", "task", None, TrafficClass.NORMAL),
        )
        previous = made.payload_hash
        smaller.append(orjson.loads(made.body))
    report = verify_set([*envelopes[:2], *envelopes[3:], *smaller])
    assert report.verdict is Verdict.VALID
    assert report.chains[0].notes == ["seq 3 is replaced: too large, smaller bundles of this set name it"]
    report = verify_set([*envelopes[:1], *envelopes[3:], *smaller])
    assert report.verdict is Verdict.INVALID
    report = verify_set([envelopes[0], *envelopes[2:3], *envelopes[3:], *smaller])
    assert report.chains[0].problems == ["seq 2 is missing"]


def test_a_new_epoch_is_a_new_chain_and_a_missing_epoch_is_named(chains: Chains) -> None:
    first, second, third = (chains(["r1", "r1"], epoch=epoch) for epoch in (1, 2, 3))
    report = verify_set([*first, *second])
    assert report.verdict is Verdict.VALID
    assert [(chain.epoch, chain.count) for chain in report.chains] == [(1, 2), (2, 2)]
    assert report.notes == ["device device-1: epoch 2 begins anew: its store had been lost, cloned or restored"]
    report = verify_set([*first, *third])
    assert report.problems == ["device device-1: epoch 2 is missing"]


def test_a_change_of_key_is_told_and_a_return_to_an_old_key_is_a_problem(forge: Forge) -> None:
    keys = [SigningKey(bytes([number]) * 32) for number in (1, 2)]
    previous, envelopes = None, []
    for seq, key in enumerate((keys[0], keys[0], keys[1], keys[0]), 1):
        made = forge(seq=seq, device_seq=seq, previous=previous, key=key)
        previous = made.payload_hash
        envelopes.append(orjson.loads(made.body))
    report = verify_set(envelopes[:3])
    assert report.verdict is Verdict.VALID
    assert len(report.chains[0].signers) == 2
    assert report.chains[0].notes == [f"from seq 3 another key signs: {report.chains[0].signers[1]}"]
    assert verify_set(envelopes).chains[0].problems == ["seq 4 is signed by a key that had been replaced before"]


def test_plain_envelopes_and_chains_mix_in_one_set(chains: Chains) -> None:
    from tests.proof.test_vectors import ENVELOPES, VERIFIED  # noqa: PLC0415 - the vectors are large

    report = verify_set([*chains(["r1"]), *(ENVELOPES[name]["envelope"] for name in VERIFIED)])
    assert report.verdict is Verdict.VALID
    assert len(report.chains) == 1


def test_a_set_with_hostile_ids_is_told_apart(chains: Chains) -> None:
    report = verify_set([*chains([None]), *chains([""], device="other"), *chains(["None"], device="third")])
    assert [chain.robot_id for chain in report.chains] == [None, "", "None"]
