"""The main job on a TPM, as `test_kills.py` has it on SoftHSM: its Ed25519 key is sealed, and its P-256 co-signs."""

from __future__ import annotations

import random

import pytest

from hil import soak
from hil.rig import Rig


@pytest.mark.tpm
def test_nothing_acknowledged_is_lost_over_kills_and_the_stock_verifier_accepts_every_co_signed_bundle(tpm_rig: Rig) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    verdict = soak.run(tpm_rig, kills=3, messages=2_000, seed=seed)
    assert verdict.problems() == [], f"seed {seed}"
    assert verdict.acknowledged == verdict.sealed == 2_000
    assert verdict.bundles > 0
    marks = [envelope["payload"]["meta"]["actod"] for envelope in tpm_rig.envelopes()]
    assert {mark["key"]["kind"] for mark in marks} == {"sealed"}
    assert all(len(mark["cosign"]) == 86 and mark["key"]["p256"] for mark in marks)
