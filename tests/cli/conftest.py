"""One rig for a whole file: its tests break one thing each, and mend it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.rig import Rig, build, wait_for, write_config


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Make a rig whose actod has run, so that state, audit log and store are there."""
    with build(tmp_path_factory.mktemp("rig") / "r", settings="[seal]\nmax_age_seconds = 0.2\n") as rig:
        rig.actod.start()
        wait_for(rig.envelopes, what="the first bundle")
        assert rig.actod.stop() == 0
        configure(rig)
        yield rig


def configure(rig: Rig, *, settings: str = "", **replaced: str) -> Path:
    """Write the rig's configuration without its witness, then replace texts in it (old=new, with _ for a space)."""
    write_config(rig, settings=settings, mqtt_port=rig.broker.port)
    text = rig.config_file.read_text(encoding="utf-8")
    for old, new in replaced.items():
        before = text
        text = text.replace(old, new)
        assert text != before, old
    rig.config_file.write_text(text, encoding="utf-8")
    return rig.config_file
