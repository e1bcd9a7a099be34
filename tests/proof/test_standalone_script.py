"""docs/verify.py: a third party's check, with OpenSSL and the standard library alone."""

from __future__ import annotations

import copy
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actod.model import Envelope
from actod.proof.canonical import canonical
from tests.proof.device import Device, Holder, trust_of
from tests.proof.test_envelope import events, members
from tests.proof.test_vectors import ENVELOPES
from tests.proof.test_verify_envelope import resign

SCRIPT = Path(__file__).parents[2] / "docs/verify.py"
PAGE = SCRIPT.with_suffix(".md")
THEIRS = runpy.run_path(str(SCRIPT))["canonical"]
floats = st.floats(-9e15, 9e15) | st.floats(1e-7, 2e-4) | st.floats(-2e-4, -1e-7)


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(SCRIPT), *map(str, files)]  # without site-packages
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@given(members | events | floats | st.lists(floats))
def test_its_canonical_bytes_are_ours(value: Any) -> None:
    assert THEIRS(value).encode() == canonical(value)


def write(folder: Path, name: str, envelopes: list[Any]) -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(envelope) + "\n" for envelope in envelopes))
    return file


def test_it_is_short_enough_to_be_read() -> None:
    assert len(SCRIPT.read_text().splitlines()) <= 40


def test_openssl_accepts_our_envelopes_and_the_vectors_and_refuses_tampered_ones(
    forge: Callable[..., Envelope], tmp_path: Path
) -> None:
    good = [json.loads(forge().body)]
    good += [row["envelope"] for name, row in ENVELOPES.items() if name.endswith("sha256") and "float" not in name]
    file = write(tmp_path, "good.jsonl", [envelope for envelope in good if "NaN" not in json.dumps(envelope)])
    done = check(file)
    assert (done.returncode, done.stdout.count(": valid"), done.stderr) == (0, 4, "")
    content, signature = json.loads(forge().body), json.loads(forge().body)
    content["payload"]["telemetry_normalized"]["events"][0]["data"]["speed"] = 2
    signature["signature_b64"] = "A" * 86 + "=="
    file = write(tmp_path, "bad.jsonl", [content, signature, good[0]])
    done = check(file)
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [f"{file}:1: INVALID: telemetry_hash, payload_hash", f"{file}:2: INVALID: signature", f"{file}:3: valid"],
    )


def test_openssl_checks_the_tokens_own_signature_against_its_key(tmp_path: Path) -> None:
    device, other = Device(Holder.make(sealed=True)), Holder.make(sealed=True)
    for _ in range(8):  # r and s with and without a leading zero
        device.seal()
    done = check(tmp_path / device.holder.write_pem(tmp_path / "p256.pem"), write(tmp_path, "good.jsonl", device.chain))
    assert (done.returncode, done.stdout.count(": valid"), done.stderr) == (0, 8, "")
    removed = copy.deepcopy(device.chain[0])
    del removed["payload"]["meta"]["actod"]["cosign"]
    file = write(tmp_path, "bad.jsonl", [resign(removed, key=device.holder.ed25519)])
    assert check(file).returncode == 0
    assert "INVALID: cosign" in check(tmp_path / "p256.pem", file).stdout
    done = check(other.write_pem(tmp_path / "other.pem"), tmp_path / "good.jsonl")
    assert (done.returncode, done.stdout.count("INVALID: cosign")) == (1, 8)


def blocks(language: str) -> list[str]:
    """Return the code of the page, by its language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_shows_how_to_verify_by_hand_and_that_works(forge: Callable[..., Envelope], tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(forge().body)
    by_hand = next(block for block in blocks("sh") if "openssl pkeyutl" in block)
    done = subprocess.run(["sh", "-e", "-c", by_hand], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "Signature Verified Successfully\n"), done.stderr


def test_the_page_shows_how_to_verify_with_actobotics_and_that_works_and_takes_a_strangers(tmp_path: Path) -> None:
    device = Device(Holder.make(sealed=True))
    envelope = device.seal()
    tampered = copy.deepcopy(envelope)
    tampered["payload"]["created_at"] = "2030-01-01T00:00:00+00:00"
    strangers = resign(tampered, key=Holder.make().ed25519)
    file = write(tmp_path, "bundles.jsonl", [envelope, tampered, strangers])
    (script,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        cwd=tmp_path,
        env=dict(os.environ) | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["valid", "INVALID", "valid"], done.stderr


def test_the_page_shows_commands_that_are_there(tmp_path: Path) -> None:
    holder = Holder.make(sealed=True)
    device = Device(holder)
    device.seal()
    write(tmp_path, "bundles.jsonl", device.chain)
    holder.write_pem(tmp_path / "p256.pem")
    (tmp_path / "robots.json").write_text(json.dumps(trust_of(holder).file))
    commands = [line.split("#")[0].split() for block in blocks("sh") for line in block.splitlines()]
    commands = [command for command in commands if command[:2] == ["actod", "verify"] or command[1:2] == ["docs/verify.py"]]
    assert len(commands) == 4
    for command in commands:
        program = [sys.executable, "-m", "actod"] if command[0] == "actod" else [sys.executable, str(SCRIPT)]
        rest = command[1:] if command[0] == "actod" else command[2:]
        done = subprocess.run(
            [*program, *rest],
            cwd=tmp_path,
            env=dict(os.environ) | {"PYTHONPATH": str(SCRIPT.parents[1])},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert "valid" in done.stdout
