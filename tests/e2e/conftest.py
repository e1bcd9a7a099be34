"""The rig for end-to-end tests: one robot, all parts real, in the test's own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.rig import Rig, build
from hil.soak import SETTINGS


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with build(tmp_path / "rig", settings=SETTINGS) as built:
        yield built
