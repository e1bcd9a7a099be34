"""The known attacks on a sealed log, on a real one with really signed bundles: each has its own word and exit code.

On journald's sealing: https://github.com/systemd/systemd/pull/28885 (history sealed anew), pull/28886 (truncated and
continued), issues/15425 (a file that was never sealed is taken for good). The untouched log is the control of each.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from nacl.signing import SigningKey

from actod.audit.files import file_name, log_files, whole_lines
from actod.audit.line import line_hash
from actod.audit.verify import walk_log
from actod.audit.witness import judge, witnesses
from actod.cli.main import main
from actod.proof.canonical import canonical
from actod.proof.chain import verify_set
from actod.proof.envelope import iso
from actod.proof.statements import Key
from actod.proof.trust import Trust
from tests.audit.robot import Robot, copied, cut_behind, lines_by_file, verify, write_anew
from tests.proof.conftest import keys_of

BUNDLES = 12


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a robot's folder after two boots; `earlier` is the state at the end of the first."""
    robot = Robot(tmp_path_factory.mktemp("attacks") / "robot")
    robot.work(BUNDLES // 2)
    robot.stop()
    shutil.copytree(robot.state, robot.folder / "earlier")
    robot.clock.reboot()
    robot.start()
    robot.work(BUNDLES // 2)
    robot.stop()
    assert len(log_files(robot.state / "audit")) > 4
    return robot.folder


@pytest.fixture
def folder(untouched: Path, tmp_path: Path, capsys: Any) -> Path:
    """Return a copy to attack, and hold the control against it: what was not touched is whole, and witnessed."""
    control = verify(untouched, capsys)
    assert (control["words"], control["exit_code"], control["witnesses"]) == ([], 0, BUNDLES)
    return copied(untouched, tmp_path / "robot")


def heads_carried(folder: Path) -> list[int]:
    """Return the numbers of the lines that bundles carry, oldest first."""
    heads = {line["hash"]: line["n"] for lines in lines_by_file(folder).values() for line in lines}
    files = sorted((folder / "bundles").iterdir())
    return [heads[orjson.loads(file.read_bytes())["payload"]["meta"]["actod"]["audit"]] for file in files]


def go_on(folder: Path) -> Robot:
    """Let actod go on where the attacker left the log, a day and a boot later; the collector gets what it seals."""
    robot = Robot(folder)
    robot.work(2)
    robot.stop()
    return robot


def test_a_log_that_was_truncated_and_then_continued_is_named_and_the_store_notices_at_the_start(
    folder: Path, capsys: Any
) -> None:
    cut_behind(folder, heads_carried(folder)[4] + 1)
    robot = go_on(folder)
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"]) == (["truncated-and-continued"], 11)
    assert f"{BUNDLES - 5} bundles" in report["findings"][0]["text"]
    assert not robot.heard_holds


def test_history_that_was_written_over_and_hashed_anew_is_named(folder: Path, capsys: Any) -> None:
    carried = heads_carried(folder)
    purged = next(
        line["n"]
        for lines in lines_by_file(folder).values()
        for line in lines
        if line["event"] == "queue.purge" and line["n"] > carried[3]
    )
    write_anew(folder, change=purged, peer=0)
    assert main(["audit", "verify", "--state", str(folder / "state")]) == 0  # by itself it is a good log
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"]) == (["re-sealed"], 12)
    assert (report["witnessed_n"], report["unwitnessed_lines"]) == (carried[3], report["last_n"] - carried[3])
    robot = go_on(folder)  # by a daemon that has to live with it: what is sealed now vouches for the forged log
    assert not robot.heard_holds
    assert verify(folder, capsys)["words"] == ["re-sealed"]


def test_a_file_that_the_log_does_not_explain_is_named(folder: Path, capsys: Any, tmp_path: Path) -> None:
    files = log_files(folder / "state" / "audit")
    stranger = Robot(tmp_path / "stranger", max_file_bytes=10**6)  # whoever writes files has the program, too
    stranger.work(1)
    stranger.stop()
    (foreign,) = log_files(stranger.state / "audit")
    for name in (files[2].name, file_name(10**6)):
        attacked = copied(folder, tmp_path / name)
        shutil.copy(foreign, attacked / "state" / "audit" / name)
        report = verify(attacked, capsys)
        assert (report["words"], report["exit_code"], report["file"]) == (["unexplained-file"], 13, name)


def test_an_empty_folder_in_which_a_new_log_began_is_no_whole_log(folder: Path, capsys: Any) -> None:
    for file in log_files(folder / "state" / "audit"):
        file.unlink()
    robot = go_on(folder)
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"]) == (["truncated-and-continued"], 11)
    assert not robot.heard_holds


def test_the_first_file_deleted_is_named_with_and_without_a_false_word_of_its_removal(folder: Path, capsys: Any) -> None:
    first, second, *_ = log_files(folder / "state" / "audit")
    last = list(whole_lines(first))[-1]
    first.unlink()
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"], report["file"]) == (["first-file-missing"], 14, second.name)
    robot = Robot(folder)
    robot.audit.record("audit.removed", first_n=1, last_n=last["n"], last_hash=last["hash"], why="bytes", proof_id="0" * 32)
    robot.stop()
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"]) == (["first-file-missing"], 14)
    assert "no bundle here vouches" in report["findings"][0]["text"]


def test_a_file_deleted_from_the_middle_is_named(folder: Path, capsys: Any) -> None:
    files = log_files(folder / "state" / "audit")
    files[2].unlink()
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"], report["file"]) == (["middle-file-missing"], 15, files[3].name)


def test_the_last_files_deleted_are_named(folder: Path, capsys: Any) -> None:
    for file in log_files(folder / "state" / "audit")[-2:]:
        file.unlink()
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"]) == (["last-file-missing"], 16)


def test_an_older_copy_put_back_is_named(folder: Path, capsys: Any) -> None:
    shutil.rmtree(folder / "state")
    shutil.copytree(folder / "earlier", folder / "state")
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"]) == (["rolled-back"], 17)
    assert f"{BUNDLES // 2} bundles" in report["findings"][0]["text"]


def test_a_log_for_which_nothing_vouches_is_not_called_whole(folder: Path, capsys: Any, tmp_path: Path) -> None:
    other = Robot(tmp_path / "other")
    other.work(2)
    other.stop()
    shutil.copytree(other.folder / "bundles", folder / "foreign")
    shutil.copy(other.folder / "trust.json", folder / "other-trust.json")
    state, foreign = str(folder / "state"), str(folder / "foreign")
    assert main(["audit", "verify", "--state", state, "--trust", str(folder / "other-trust.json"), foreign, "--json"]) == 18
    report = verify(folder, capsys, bundles="bundles/0001.json")
    assert (report["words"], report["exit_code"]) == ([], 0)  # one bundle vouches for little, and that is said
    assert (report["witnessed_n"], report["unwitnessed_lines"]) == (
        heads_carried(folder)[0],
        report["last_n"] - heads_carried(folder)[0],
    )
    times = {line["n"]: line["at"] for lines in lines_by_file(folder).values() for line in lines}
    assert report["unwitnessed_since"] == times[report["witnessed_n"]]


def test_a_bundle_that_a_stranger_signed_vouches_for_nothing(folder: Path, capsys: Any) -> None:
    """Whoever writes the log anew can seal it anew as well, with a key of his own."""
    shutil.rmtree(folder / "bundles")
    shutil.rmtree(folder / "state")
    thief = Robot(folder)
    thief.signing = SigningKey(bytes(32))
    thief.keys = keys_of(thief.signing)
    thief.work(3)
    thief.stop()
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"]) == (["witness-refused", "witness-missing"], 18)
    assert report["witnesses"] == 0


def test_what_the_robot_does_after_it_was_taken_over_shows_as_unwitnessed_since_then(folder: Path, capsys: Any) -> None:
    """Root's future cannot be prevented; its past can be shown, and where the one ends and the other begins."""
    before = verify(folder, capsys)
    robot = Robot(folder)
    taken_over = iso(robot.clock.now().wall_ns)
    robot.work(2, deliver=False)
    robot.stop()
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"], report["witnessed_n"]) == ([], 0, before["witnessed_n"])
    assert report["unwitnessed_lines"] == report["last_n"] - before["witnessed_n"] > before["unwitnessed_lines"]
    assert report["unwitnessed_since"] == before["unwitnessed_since"] < taken_over


@pytest.mark.parametrize("given", [["--trust", "trust.json"], ["bundles"]])
def test_bundles_and_trust_go_together(folder: Path, capsys: Any, given: list[str]) -> None:
    arguments = [str(folder / word) if not word.startswith("--") else word for word in given]
    assert main(["audit", "verify", "--state", str(folder / "state"), *arguments]) == 2
    assert "go together" in capsys.readouterr().err


def test_the_report_for_people_says_how_far_the_log_is_vouched_for(folder: Path, capsys: Any) -> None:
    arguments = ["--state", str(folder / "state"), "--trust", str(folder / "trust.json"), str(folder / "bundles")]
    assert main(["audit", "verify", *arguments]) == 0
    said = capsys.readouterr().out
    assert f"witnessed up to line {heads_carried(folder)[-1]}" in said
    assert "unwitnessed_since 20" in said
    assert "no line was changed" in said


def enrolled_beside(folder: Path, other: Path) -> None:
    """Put another robot's keys into the trust file, as a fleet's has them."""
    trust, more = (orjson.loads((path / "trust.json").read_bytes()) for path in (folder, other))
    (folder / "trust.json").write_bytes(orjson.dumps(trust | {"devices": trust["devices"] + more["devices"]}))


def stranger_beside(folder: Path, tmp_path: Path, *, head: str = "") -> Robot:
    """Have another robot of the fleet work, with a head of its choice in its bundles; the collector holds them as well."""
    other = Robot(tmp_path / "other")
    other.signing = SigningKey(bytes(31) + b"o")
    other.keys = keys_of(other.signing)
    other.work(1)
    if head:
        other.audit.head = lambda: head  # type: ignore[method-assign]
    other.work(1)
    other.stop()
    trust = Trust({other.store.device: (Key.of(other.keys),)})
    (other.folder / "trust.json").write_bytes(orjson.dumps(trust.file))
    enrolled_beside(folder, other.folder)
    for file in (other.folder / "bundles").iterdir():
        shutil.copy(file, folder / "bundles" / f"other-{file.name}")
    return other


def test_another_robot_that_signs_a_head_of_this_log_does_not_make_it_look_cut(
    folder: Path, capsys: Any, tmp_path: Path
) -> None:
    head = next(line["hash"] for lines in lines_by_file(folder).values() for line in lines if line["n"] == 9)
    other = stranger_beside(folder, tmp_path, head=head)
    report = verify(folder, capsys)
    assert (report["words"], report["exit_code"], report["witnesses"]) == ([], 0, BUNDLES)
    assert any(other.store.device in note and "2 bundles" in note for note in report["notes"])


def test_another_robots_log_in_the_place_of_this_one_is_called_that_robots(
    folder: Path, capsys: Any, tmp_path: Path
) -> None:
    other = stranger_beside(folder, tmp_path)
    device = verify(folder, capsys)["devices"]
    shutil.rmtree(folder / "state")
    shutil.copytree(other.state, folder / "state")
    report = verify(folder, capsys)
    assert report["devices"] == [other.store.device] != device
    assert any(f"{BUNDLES} bundles are of other devices" in note and device[0] in note for note in report["notes"])


@pytest.mark.parametrize(("bundle", "words"), [(0, ["first-file-missing"]), (-1, [])])
def test_a_removal_is_covered_by_a_bundle_that_carries_what_went_or_a_later_line_and_by_no_older_one(
    folder: Path, capsys: Any, bundle: int, words: list[str]
) -> None:
    for file in log_files(folder / "state" / "audit")[:2]:
        last = list(whole_lines(file))[-1]
        file.unlink()
    cover = orjson.loads(sorted((folder / "bundles").iterdir())[bundle].read_bytes())
    carried, proof = cover["payload"]["meta"]["actod"]["audit"], proof_id_of(cover)
    robot = Robot(folder)
    went = {"first_n": 1, "last_n": last["n"], "last_hash": last["hash"], "why": "bytes"}
    robot.audit.record("audit.removed", **went, carried_n=last["n"], carried_hash=carried, proof_id=proof)
    robot.stop()
    report = verify(folder, capsys)
    assert report["words"] == words
    assert "recorded in no bundle here" in report["removed"][0]


def proof_id_of(envelope: Any) -> str:
    (one,) = verify_set([envelope]).envelopes
    return one.proof_id


def test_a_line_with_times_that_are_none_ends_no_verification(folder: Path, capsys: Any) -> None:
    """The log ends in a line whose time since boot is a word, and a bundle that it no longer explains is held against it."""
    cut_behind(folder, heads_carried(folder)[8] + 1)
    file = log_files(folder / "state" / "audit")[-1]
    last = list(whole_lines(file))[-1]
    forged = {name: last[name] for name in ("at", "boot")} | {"event": "audit.epoch", "mono_ms": "soon"}
    forged |= {"n": last["n"] + 1, "prev": last["hash"], "reason": "start", "key": None}
    epochs = [line["epoch"] for lines in lines_by_file(folder).values() for line in lines if line["event"] == "audit.epoch"]
    forged["epoch"] = epochs[-1] + 1
    file.write_bytes(file.read_bytes() + canonical(forged | {"hash": line_hash(forged)}) + b"\n")
    assert verify(folder, capsys)["words"] == ["rolled-back"]


def test_lines_that_went_without_a_word_between_two_removals_by_the_rule_are_named(tmp_path: Path, capsys: Any) -> None:
    robot = Robot(tmp_path / "robot", max_bytes=12_000)
    robot.work(14)
    robot.remove_what_is_due(most=1)
    log_files(robot.state / "audit")[0].unlink()
    robot.work(6)
    assert robot.remove_what_is_due(most=1)[0].first_n > 1
    robot.work(1)
    robot.stop()
    report = verify(robot.folder, capsys)
    assert report["words"] == ["first-file-missing"]
    assert "went without a word" in report["findings"][0]["text"]


def test_a_removal_whose_word_was_cut_off_is_no_hole_since_the_signed_chain_has_it(tmp_path: Path, capsys: Any) -> None:
    robot = Robot(tmp_path / "robot", max_bytes=12_000)
    robot.work(14)
    robot.remove_what_is_due(most=1)
    robot.work(1)
    said = max(line["n"] for lines in lines_by_file(robot.folder).values() for line in lines)
    (second,) = robot.remove_what_is_due(most=1)
    robot.work(1)
    robot.stop()
    cut_behind(robot.folder, said)
    robot = Robot(robot.folder, max_bytes=8000)
    robot.work(8)
    assert robot.remove_what_is_due(most=1)[0].first_n == second.last_n + 1
    robot.work(1)
    robot.stop()
    assert verify(robot.folder, capsys)["words"] == ["truncated-and-continued"]


def test_a_forged_time_in_what_nobody_vouches_for_does_not_move_since_when_that_is(folder: Path, capsys: Any) -> None:
    before = verify(folder, capsys)
    robot = Robot(folder)
    robot.work(1, deliver=False)
    robot.stop()
    write_anew(folder, change=before["witnessed_n"] + 1, at="2099-01-01T00:00:00.000000+00:00")
    report = verify(folder, capsys)
    assert (report["words"], report["witnessed_n"]) == ([], before["witnessed_n"])
    assert report["unwitnessed_since"] <= report["witnessed_at"]


def test_a_bundle_whose_key_was_suspected_vouches_for_nothing(folder: Path) -> None:
    envelopes = [orjson.loads(file.read_bytes()) for file in sorted((folder / "bundles").iterdir())]
    checked = verify_set(envelopes).envelopes
    walk, report = walk_log(folder / "state" / "audit")
    for one in checked[6:]:
        one.disputed = "its key was suspected"
    said = judge(report, walk, witnesses(checked, envelopes), refused=0, keys=frozenset())
    assert (said.witnesses, said.witnessed_n) == (6, heads_carried(folder)[5])
    assert said.notes[0].startswith(f"{BUNDLES - 6} bundles vouch for nothing")


def test_bundles_that_are_given_twice_are_as_good_as_once(folder: Path, capsys: Any) -> None:
    shutil.copytree(folder / "bundles", folder / "twice", dirs_exist_ok=True)
    for file in (folder / "bundles").iterdir():
        shutil.copy(file, folder / "twice" / f"again-{file.name}")
    report = verify(folder, capsys, bundles="twice")
    assert (report["words"], report["witnesses"]) == ([], BUNDLES)
