"""`actod verify FILE...`, as a third party calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.proof.device import Device, Holder, trust_of
from tests.proof.test_vectors import ENVELOPES, FLOATS, NANS, VERIFIED

Chains = Callable[..., list[dict[str, Any]]]


def actod(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "actod", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_every_wrapping_gives_the_same_verdict(chains: Chains, tmp_path: Path) -> None:
    envelopes = chains(["r1", None, "r1"])
    (tmp_path / "list.json").write_text(json.dumps(envelopes))
    (tmp_path / "lines.jsonl").write_text("\n\n".join(json.dumps(envelope) for envelope in envelopes) + "\n")
    (tmp_path / "items.json").write_text(json.dumps({"items": [{"proof_id": "x", "envelope": e} for e in envelopes]}))
    (tmp_path / "folder").mkdir()
    for number, envelope in enumerate(envelopes):
        (tmp_path / f"folder/{number}.json").write_text(json.dumps({"envelope": envelope}, indent=1))
    for source in ("list.json", "lines.jsonl", "items.json", "folder"):
        done = actod(tmp_path / source)
        assert (done.returncode, done.stderr) == (0, ""), source
        assert done.stdout.splitlines()[-1] == "valid: 3 of 3 envelopes verify"
    done = actod(*(tmp_path / f"folder/{number}.json" for number in range(3)))
    assert done.returncode == 0
    done = actod("--json", tmp_path)
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"], report["repeated"]) == (0, "valid", 9)
    assert actod(tmp_path).stdout.count("REPLAYED ") == 9


def test_a_tampered_envelope_is_1_named_by_file_line_and_id(chains: Chains, tmp_path: Path) -> None:
    envelopes = chains(["r1"] * 3)
    envelopes[1]["payload"]["telemetry_normalized"]["events"][0]["data"]["speed"] = 9
    file = tmp_path / "bundles.jsonl"
    file.write_text("".join(json.dumps(envelope) + "\n" for envelope in envelopes))
    done = actod(file)
    assert done.returncode == 1
    assert f"INVALID  {file}, line 2: proof " in done.stdout
    assert "payload_hash does not match the content" in done.stdout
    assert "BROKEN   device device-1 epoch 1 robot r1: seq 2 is missing" in done.stdout
    assert done.stdout.splitlines()[-1] == "invalid: 2 of 3 envelopes verify"


@pytest.mark.parametrize(("names", "code"), [(VERIFIED, 0), (FLOATS, 3), (NANS, 3)])
def test_the_vectors_get_their_verdicts_from_files(names: list[str], code: int, tmp_path: Path) -> None:
    for number, name in enumerate(names):
        (tmp_path / f"{number}.json").write_text(json.dumps(ENVELOPES[name]["envelope"]))
    done = actod(tmp_path)
    assert done.returncode == code
    assert done.stdout.count("the verdict depends on the verifier: ") == (len(names) if code else 0)
    report = json.loads(actod("--json", tmp_path).stdout)
    assert report["verdict"] == ("verifier_dependent" if code else "valid")


def test_a_double_key_and_a_broken_line_are_seen_in_the_text(chains: Chains, tmp_path: Path) -> None:
    text = json.dumps(chains(["r1"])[0])
    file = tmp_path / "double.json"
    file.write_text(text.replace('"speed"', '"speed": 9, "speed"'))
    done = actod(file)
    assert done.returncode == 3
    assert "a key stands twice" in done.stdout
    file.write_text(text + "\nbroken\n" + text + "\n")
    done = actod(file)
    assert done.returncode == 1
    assert f"{file}, line 2: proof (no id): not an ACTO proof envelope" in done.stdout


@pytest.mark.parametrize("content", [b"", b"\n \n", b"[]", b'{"items": []}'])
def test_files_without_an_envelope_are_2(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    done = actod(tmp_path / "x.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no envelope" in done.stderr


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"null", b"[" * 100_000, b'{"payload": {"payload_hash": 1}}'])
def test_hostile_files_are_invalid_and_no_crash(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    done = actod(tmp_path / "x.json")
    assert (done.returncode, done.stderr) == (1, "")
    assert "invalid: 0 of 1" in done.stdout


def test_a_missing_file_is_2_and_named(tmp_path: Path) -> None:
    done = actod(tmp_path / "nowhere.json")
    assert done.returncode == 2
    assert str(tmp_path / "nowhere.json") in done.stderr
    assert "Traceback" not in done.stderr


def test_ids_cannot_speak_to_the_terminal(chains: Chains, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(chains(["\x1b[31mred\n\u202e"])))
    done = actod(file)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "\\x1b[31mred\\n" in done.stdout


def test_a_trust_file_tells_a_strangers_bundle_and_disputed_ones(tmp_path: Path) -> None:
    old, new = Holder.make(sealed=True), Holder.make(sealed=True)
    device = Device(old)
    device.seal()
    device.rotate(new)
    device.say(device.retirement(old, reason="compromised", suspected_since=device.chain[0]["payload"]["created_at"]))
    (tmp_path / "bundles.jsonl").write_text("".join(json.dumps(envelope) + "\n" for envelope in device.chain))
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps(trust_of(old).file))
    done = actod("--trust", trust, "--require-hardware", tmp_path / "bundles.jsonl")
    assert (done.returncode, done.stdout.count("DISPUTED "), done.stdout.splitlines()[-1]) == (
        0,
        2,
        "valid: 3 of 3 envelopes verify",
    )
    report = json.loads(actod("--json", "--trust", trust, tmp_path / "bundles.jsonl").stdout)
    assert [bool(one["disputed"]) for one in report["envelopes"]] == [True, True, False]
    trust.write_text(json.dumps(trust_of(Holder.make()).file))
    done = actod("--trust", trust, tmp_path / "bundles.jsonl")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "invalid: 0 of 3 envelopes verify")
    assert "signed by a key that is not enrolled" in done.stdout


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"actod_trust": 2, "devices": [], "operators": []}'])
def test_a_trust_file_that_is_none_is_78_and_says_how_one_is_made(content: str, tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_text(content)
    (tmp_path / "x.json").write_text("{}")
    done = actod("--trust", tmp_path / "trust.json", tmp_path / "x.json")
    assert (done.returncode, done.stdout) == (78, "")
    assert "actod keys export --trust" in done.stderr
    assert "Traceback" not in done.stderr


def test_hardware_cannot_be_required_of_keys_that_nobody_enrolled(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    done = actod("--require-hardware", tmp_path / "x.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--trust" in done.stderr
