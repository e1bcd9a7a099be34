"""Copies of this machine need root: as everywhere, a laptop skips what CI must have."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def rights() -> None:
    if os.geteuid():
        if "CI" in os.environ:
            pytest.fail("mounting needs root")
        pytest.skip("mounting needs root")
