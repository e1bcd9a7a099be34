"""A daemon's audit log that was truncated while it was down: the next start says so, and the collector's bundles show it."""

from __future__ import annotations

import json
from pathlib import Path

from actod.audit.files import log_files, whole_lines
from hil.rig import Rig, wait_for
from tests.e2e.test_away import publish


def own_records(rig: Rig, kind: str) -> list[dict[str, object]]:
    events = (event for one in rig.envelopes() for event in one["payload"]["telemetry_normalized"]["events"])
    return [event["data"] for event in events if event["topic"] == f"actod/{kind}"]


def verify(rig: Rig, trust: Path) -> dict[str, object]:
    bundles = rig.folder / "bundles.jsonl"
    bundles.write_text("\n".join(map(json.dumps, rig.envelopes())), encoding="utf-8")
    done = rig.tool("audit", "verify", "--config", str(rig.config_file), "--trust", str(trust), str(bundles), "--json")
    report: dict[str, object] = json.loads(done.stdout)
    return report | {"words": [finding["word"] for finding in report["findings"]], "code": done.returncode}


def test_a_truncated_audit_log_is_told_by_the_next_start_and_shown_by_the_bundles(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 0, 20)
    wait_for(lambda: len(rig.envelopes()) > 1, what="the first bundles")
    trust = rig.folder / "trust.json"
    trust.write_text(rig.tool("keys", "export", "--config", str(rig.config_file), "--trust", check=True).stdout)
    assert rig.actod.stop() == 0
    control = verify(rig, trust)
    assert (control["words"], control["code"]) == ([], 0)

    (file,) = log_files(rig.state / "audit")
    head = rig.envelopes()[-1]["payload"]["meta"]["actod"]["audit"]
    kept = []
    for raw, line in zip(file.read_bytes().splitlines(keepends=True), whole_lines(file), strict=True):
        if line["hash"] == head:
            break
        kept.append(raw)
    file.write_bytes(b"".join(kept))
    rig.actod.start()
    (told,) = wait_for(lambda: own_records(rig, "audit_cut"), what="the record in the signed chain")
    assert told["told_n"] >= len(kept)
    assert rig.actod.stop() == 0
    assert b"The audit log lost lines that were on disk" in rig.actod.log_file.read_bytes()
    report = verify(rig, trust)
    assert (report["words"], report["code"]) == (["truncated-and-continued"], 11)
