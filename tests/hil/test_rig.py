"""The rig's pure parts: what it counts, what a count supports, how it shrinks a schedule, and what it draws."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.acceptance import Site
from hil.bound import upper
from hil.charts import spread, steps, timeline
from hil.collector.client import Collector
from hil.lives import lives, write
from hil.parts.certificates import CertificateAuthority
from hil.parts.witness import Seen
from hil.report import SIMULATED, page, recoveries, supported
from hil.result import Result
from hil.robot.publisher import number_of
from hil.shrink import smallest
from hil.tally import Sample, Tally
from hil.verdict import Account, problems


def test_no_loss_in_300_cuts_bounds_the_loss_at_one_percent_a_cut() -> None:
    assert upper(0, 300) == pytest.approx(0.00994, abs=1e-5)
    assert upper(0, 1) == pytest.approx(0.95)
    assert upper(1, 300) == pytest.approx(0.01571, abs=1e-5)
    assert upper(3, 3) == upper(0, 0) == 1.0


@given(st.integers(min_value=1, max_value=40), st.data())
def test_a_schedule_shrinks_to_exactly_what_its_failure_needs(count: int, data: st.DataObject) -> None:
    schedule = [f"fault-{number}" for number in range(count)]
    needed = data.draw(st.sets(st.sampled_from(schedule), min_size=1, max_size=4))

    def fails(part: Sequence[str]) -> bool:
        assert list(part) == [name for name in schedule if name in part], "the order is kept"
        return needed <= set(part)

    assert set(smallest(schedule, fails)) == needed


def _published(number: int, *, packet_id: int, connection: int = 1) -> Seen:
    return Seen("publish", connection, packet_id, 0.0, "robot/1/joints", b'{"n": %d}' % number)


def _acknowledged(packet_id: int, *, connection: int = 1) -> Seen:
    return Seen("puback", connection, packet_id, 0.0)


def _envelope(*numbers: int) -> dict[str, Any]:
    events = [{"topic": "robot/1/joints", "data": {"n": number}} for number in numbers]
    return {
        "payload": {
            "subject": {"task_id": "idle"},
            "meta": {"actod": {"marks": {}}},
            "telemetry_normalized": {"events": events},
        }
    }


def test_what_is_owed_is_what_was_acknowledged_on_its_own_connection_and_has_not_arrived() -> None:
    seen: list[Seen] = []
    envelopes: list[dict[str, Any]] = []
    tally = Tally(seen=lambda: seen, envelopes=lambda: envelopes, name=number_of)
    seen += [_published(1, packet_id=1), _published(2, packet_id=2), _acknowledged(1), _acknowledged(2, connection=2)]
    assert tally.waiting() == {"#1"}
    envelopes.append(_envelope(1))
    seen += [_published(2, packet_id=1, connection=2), _acknowledged(1, connection=2)]
    assert tally.waiting() == {"#2"}
    sample = tally.sample()
    assert (sample.acknowledged, sample.arrived, sample.waiting) == (2, 1, 1)


_STEPS = st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 4))


@given(st.lists(_STEPS, min_size=1, max_size=3))
def test_each_life_of_a_robot_whose_disk_was_put_back_is_whole(steps: list[tuple[int, int, int]]) -> None:
    held: list[dict[str, Any]] = []
    overwritten = []
    sealed = 0

    def deliver(count: int) -> None:
        numbers = range(sealed + 1, sealed + count + 1)
        held.extend({"payload": {"meta": {"actod": {"epoch": 1, "device_seq": number}}}} for number in numbers)

    for before, unsent, undone in steps:  # the image holds `unsent` bundles that the collector gets once, in whichever life
        deliver(before)
        sealed += before
        begin = len(held)
        deliver(unsent + undone)
        sealed += unsent
        overwritten.append(range(begin, len(held)))
    deliver(1)
    found = lives(held, overwritten)
    assert len(found) == 1 + len(steps)
    for life in found:
        numbers = [held[place]["payload"]["meta"]["actod"]["device_seq"] for place in life]
        assert numbers == list(range(1, len(numbers) + 1))
    assert {place for life in found for place in life} == set(range(len(held)))


def test_each_lifes_bundles_are_written_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    lines = [b'{"payload":{"meta":{"actod":{"epoch":1,"device_seq": %d}}}}\n' % number for number in (1, 2, 2)]
    file.write_bytes(b"".join(lines))
    assert [life.read_bytes() for life in write(file, [range(1, 2)])] == [lines[0] + lines[2], lines[0] + lines[1]]
    assert write(file, []) == [file]


def test_the_record_of_a_collector_that_still_writes_ends_with_a_whole_line(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path / "ca")
    collector = Collector(folder=tmp_path / "collector", certificate=authority.issue("collector", san=["a"]), api_keys=[])
    bundle = b'{"payload":{"meta":{"actod":{"device":"d","epoch":1,"device_seq":%d}}}}\n'
    collector.envelopes_file.write_bytes(bundle % 1 + bundle % 2 + b'{"c":')
    site = Site(object(), collector, authority, port=0, release="bookworm", api_key="")
    record = site.record()
    with collector.envelopes_file.open("ab") as file:
        file.write(b"3}\n")
    assert record.read_bytes() == bundle % 1 + bundle % 2


def test_a_record_waits_for_a_bundle_that_a_later_one_overtook_and_shows_a_hole_that_stays(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path / "ca")
    collector = Collector(folder=tmp_path / "collector", certificate=authority.issue("collector", san=["a"]), api_keys=[])
    bundle = b'{"payload":{"meta":{"actod":{"device":"d","epoch":1,"device_seq":%d}}}}\n'
    collector.envelopes_file.write_bytes(bundle % 1 + bundle % 3)
    site = Site(object(), collector, authority, port=0, release="bookworm", api_key="", patience=0.001)
    assert site.record().read_bytes() == bundle % 1 + bundle % 3
    site.patience = 4.0
    with ThreadPoolExecutor(1) as pool:
        record = pool.submit(site.record)
        with collector.envelopes_file.open("ab") as file:
            file.write(bundle % 2)
        assert record.result().read_bytes() == bundle % 1 + bundle % 3 + bundle % 2


def test_an_account_of_nothing_and_a_verification_that_was_killed_are_no_pass() -> None:
    sound = {"verified_by_server": 2, "verified_by_hardware": 2, "control_found": True}
    assert Account(acknowledged=5, bundles=2, **sound).problems() == []
    assert Account(control_found=True).problems() == ["nothing was acknowledged, or nothing arrived: no account"]
    assert Account(acknowledged=5, bundles=3, **sound).problems() == [
        "2 of 3 bundles verified by the server's own function",
        "2 of 3 bundles verified by hardware",
    ]
    killed = subprocess.run(["sh", "-c", "kill -9 $$"], capture_output=True, text=True, check=False)
    assert problems(killed) == ["it ended with -9, and said nothing"]
    assert problems(subprocess.CompletedProcess("", 0, '{"verdict": "valid"}', "")) == []


def test_threads_that_ask_a_collector_at_the_same_time_see_each_bundle_once(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path / "ca")
    collector = Collector(folder=tmp_path / "collector", certificate=authority.issue("collector"), api_keys=[])
    bundles = [{"n": number, "filling": "." * 3000} for number in range(1000)]
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            collector.envelopes()

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        with collector.envelopes_file.open("ab", buffering=0) as file:
            for number, bundle in enumerate(bundles):
                file.write(json.dumps(bundle).encode() + b"\n")
                if number % 10 == 0:
                    os.sched_yield()
        over.set()
        for one in asking:
            one.result()
    assert collector.envelopes() == bundles


def test_what_went_with_a_disk_is_owed_no_more_until_it_is_acknowledged_again() -> None:
    seen = [_published(1, packet_id=1), _acknowledged(1), _published(2, packet_id=2), _acknowledged(2)]
    tally = Tally(seen=lambda: seen, envelopes=list, name=number_of)
    assert tally.write_off({"#1", "#7"}) == {"#1"}
    assert tally.waiting() == {"#2"}
    seen += [_published(1, packet_id=1, connection=2), _acknowledged(1, connection=2)]
    assert tally.waiting() == {"#1", "#2"}


def test_the_report_draws_every_fault_and_marks_what_did_not_hold() -> None:
    samples = [Sample(float(at), at, at // 2, at - at // 2) for at in range(50)]
    good = Result("power_cut", began=5, ended=9, recovered_seconds=12.5)
    bad = Result("tpm_away", began=20, ended=31, problem="TimeoutError: <nothing> came")
    drawn = page(
        title="run",
        machine="qemu",
        kind=SIMULATED,
        samples=samples,
        results=[good, bad],
        account={"lost": 0, "chains": "", "problems": ["the capture is not whole"], "traffic": {"in_clear": {"udp 53": 34}}},
        facts={"seed": 3},
    )
    assert "<tr class=bad><td class=number>2</td><td>tpm_away" in drawn
    assert "&lt;nothing&gt;" in drawn
    assert "simulated, not a board</span> qemu" in drawn
    assert "<p class='verdict bad'>1 of 2 faults survived" in drawn
    assert "<br>the capture is not whole</p>" in drawn
    assert "<br>1 of 2 faults with a problem: with 95 % confidence fewer than 97.5 % of such faults have one<br>" in drawn
    assert "0 of 41 faults with a problem: with 95 % confidence fewer than 7.0 %" in supported([good] * 41)
    assert "<td>holes in the chains</td><td>none</td>" in drawn
    assert "<td>udp 53: 34</td>" in drawn
    assert (timeline(samples, [good, bad]).count("<rect"), timeline(samples, []).count("<rect")) == (3, 0)
    assert recoveries([good, bad]).count("<tr>") == 1, "one of the two came back"
    assert spread("seconds", [1.0, 2.0, 9.5]).count('fill="#2471a3"') == 3
    assert "median 2.0 s, worst 9.5 s" in spread("seconds", [1.0, 2.0, 9.5])


@given(st.floats(min_value=0.01, max_value=1e6), st.integers(min_value=2, max_value=20))
def test_an_axis_has_a_few_round_numbers_from_0_to_no_more_than_its_end(most: float, wanted: int) -> None:
    marks = steps(most, wanted=wanted)
    assert marks[0] == 0
    assert marks[-1] <= most
    assert len(marks) <= wanted + 1
    assert len({after - before for before, after in itertools.pairwise(marks)}) <= 1
