"""The main job on a TPM, as `test_kills.py` has it on SoftHSM: its Ed25519 key is sealed, and its P-256 co-signs."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from hil import lane, soak_token
from hil.parts import swtpm
from hil.rig import build
from tests.keys.seed import forms, found, seed_of

pytestmark = pytest.mark.tpm


@pytest.fixture(autouse=True)
def _needs_tpm() -> None:
    """Skip on a laptop without a TPM in software; in CI that is a failure."""
    try:
        swtpm.module()
    except FileNotFoundError as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))


def test_nothing_acknowledged_is_lost_over_kills_and_the_stock_verifier_accepts_every_co_signed_bundle(
    tmp_path: Path,
) -> None:
    chance = random.SystemRandom().randrange(1 << 30)
    with build(tmp_path / "rig", settings=lane.SETTINGS, new_token=swtpm.make_token) as rig:
        account = lane.run(rig, kills=3, seed=chance)
        marks = [envelope["payload"]["meta"]["actod"] for envelope in rig.envelopes()]
        seed = seed_of(rig.token)
        (rig.folder / "planted").write_bytes(b"\0".join(forms(seed)))
        leaks = found([rig.folder], seed)
    assert leaks == {("planted", form) for form in forms(seed)}
    assert account["problems"] == [], f"chance {chance}"
    assert account["acknowledged"] >= 3 * lane.BETWEEN
    assert {mark["key"]["kind"] for mark in marks} == {"sealed"}
    assert all(len(mark["cosign"]) == 86 and mark["key"]["p256"] for mark in marks)


def test_whatever_happens_to_the_tpm_collection_goes_on_and_sealing_begins_again_by_itself(tmp_path: Path) -> None:
    """The short form of `make soak-token`, without its limit on time: messages are acknowledged before the TPM is back."""
    with build(tmp_path / "rig", settings=soak_token.SETTINGS, new_token=swtpm.make_token) as rig:
        problems = soak_token.run(rig, kills=1, down=0.5, lockout=2)
    assert [problem for problem in problems if "acknowledgement came" not in problem] == []
