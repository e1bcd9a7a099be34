"""README.md: from a clone to a verified proof, each command as it stands, in three terminals."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hil.rig import wait_for
from tests.docs.machine import CLONE, Machine
from tests.docs.page import Page


def test_the_readme_leads_from_a_clone_to_a_proof_that_a_stranger_verifies(tmp_path: Path) -> None:
    page, envelopes = Page("README.md"), f"{CLONE}/desk/collector/envelopes.jsonl"
    with Machine(tmp_path / "machine") as desk:
        desk.start(page.take("python -m hil.desk").typed(), until="Ctrl-C ends both", cwd=CLONE)
        desk.start(page.take("deploy/tpm/provision").typed(), until="Collecting.", cwd=CLONE)
        desk.run(page.take("mosquitto_pub").typed(), cwd=CLONE)
        wait_for(lambda: desk.run(f"grep -c r7/note {envelopes} || true")[0] == "1", what="the note at the collector")
        said = desk.run(page.take("actod verify").typed(), cwd=CLONE)
        bundle = next(json.loads(line) for line in said.splitlines() if line.startswith("{"))
        (event,) = bundle["payload"]["telemetry_normalized"]["events"]
        assert event["data"] == {"note": "call <PERSON>, <EMAIL>", "battery": 81}
        (verified,) = re.findall(r"^valid: (\d+) of \1 envelopes verify$", said, re.MULTILINE)
        assert "refused, as it should be" in said
        assert said.count(": valid\n") == int(verified), "docs/verify.py"
    assert page.left() == []
