"""The rig for end-to-end tests: one robot, all parts real, in the test's own folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.parts import swtpm
from hil.rig import Rig, build
from hil.soak import SETTINGS


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with build(tmp_path / "rig", settings=SETTINGS) as built:
        yield built


@pytest.fixture
def tpm_rig(tmp_path: Path) -> Iterator[Rig]:
    """Make the rig with a TPM: its Ed25519 key is sealed, and each bundle is co-signed by the TPM."""
    needs_tpm()
    with build(tmp_path / "rig", settings=SETTINGS, new_token=swtpm.make_token) as built:
        yield built


def needs_tpm() -> None:
    """Skip on a laptop without a TPM in software; in CI that is a failure."""
    try:
        swtpm.module()
    except FileNotFoundError as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))
