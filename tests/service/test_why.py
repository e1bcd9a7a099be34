"""`actod why`: one line, the oldest bundle first, with what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actod.service.why import Standing, explain
from actod.submit.verdict import VERDICTS

CALM = Standing(
    intake="connected",
    disk_refuses="",
    sealing_waits_for=None,
    uplink_state="ok",
    uplink_why="ok: nothing is wrong",
    bundles=0,
    bulk_bundles=0,
    oldest_seconds=None,
    messages=0,
    quarantined=0,
    bulk_is_held=False,
)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "nothing waits"),
        ({"messages": 7}, "no bundle waits; 7 messages are sealed within seal.max_age_seconds"),
        (
            {"bundles": 3, "oldest_seconds": 90.4},
            "3 bundles wait, the oldest for 90 s: ok: they leave in their order, as collector.requests_per_second allows",
        ),
        (
            {"bundles": 3, "bulk_bundles": 3, "oldest_seconds": 90.4, "bulk_is_held": True},
            (
                "3 bundles wait, the oldest for 90 s: all of them bulk, "
                "held for collector.bulk_hours_utc or collector.bulk_interfaces"
            ),
        ),
        (
            {"messages": 7, "sealing_waits_for": "token_away"},
            "sealing waits for the token (token_away), 7 messages are journaled: see `actod check`; collecting goes on",
        ),
        (
            {"intake": "intake:full", "disk_refuses": "disk_full"},
            (
                "nothing waits; the disk refuses what comes in (disk_full), so the broker keeps it: see store.max_bytes "
                "and the disk"
            ),
        ),
        (
            {"uplink_state": "blocked:incident", "uplink_why": "blocked:incident (key_lost): unlock"},
            "nothing waits; blocked:incident (key_lost): unlock",
        ),
        (
            {"intake": "intake:full", "disk_refuses": "audit_unreceipted"},
            (
                "nothing waits; the audit log is full of what no receipt covers (audit_unreceipted); "
                "one delivered bundle makes room"
            ),
        ),
        (
            {"intake": "intake:full", "quarantined": 2},
            (
                "nothing waits; intake:full: the disk takes less than comes in, so the broker keeps it: see store.max_bytes "
                "and the disk; 2 bundles are set aside: `actod queue list --place quarantine`"
            ),
        ),
    ],
)
def test_each_standing_has_its_line(changes: dict[str, object], line: str) -> None:
    assert explain(replace(CALM, **changes)) == line  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", sorted(VERDICTS))
def test_what_blocks_submission_is_named_with_its_remedy(reason: str) -> None:
    verdict = VERDICTS[reason]
    why = f"{verdict.state} ({reason}): {verdict.remedy}"
    line = explain(replace(CALM, bundles=1, oldest_seconds=5.0, uplink_state=str(verdict.state), uplink_why=why))
    assert line == f"1 bundles wait, the oldest for 5 s: {why}"
    assert "\n" not in line
