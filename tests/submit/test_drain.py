"""The short form of `make drain`: a backlog with poison against the server's real behaviour, over TLS."""

from __future__ import annotations

from pathlib import Path

from hil.drain import drain


def test_a_backlog_with_poison_drains_fully_and_without_a_storm(tmp_path: Path) -> None:
    done = drain(tmp_path, bundles=200, scale=10)
    assert len(done.poison) == 2
    assert done.problems() == []
