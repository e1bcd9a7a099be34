"""docs/verify.py: a third party's check, with OpenSSL and the standard library alone."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actod.model import Envelope
from actod.proof.canonical import canonical
from tests.proof.test_envelope import events, members
from tests.proof.test_vectors import ENVELOPES

SCRIPT = Path(__file__).parents[2] / "docs/verify.py"
THEIRS = runpy.run_path(str(SCRIPT))["canonical"]
floats = st.floats(-9e15, 9e15) | st.floats(1e-7, 2e-4) | st.floats(-2e-4, -1e-7)


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(SCRIPT), *map(str, files)]  # without site-packages
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@given(members | events | floats | st.lists(floats))
def test_its_canonical_bytes_are_ours(value: Any) -> None:
    assert THEIRS(value) == canonical(value)


def test_openssl_accepts_our_envelopes_and_the_vectors_and_refuses_tampered_ones(
    forge: Callable[..., Envelope], tmp_path: Path
) -> None:
    good = [json.loads(forge().body)]
    good += [row["envelope"] for name, row in ENVELOPES.items() if name.endswith("sha256") and "float" not in name]
    file = tmp_path / "good.jsonl"
    file.write_text("".join(json.dumps(envelope) + "\n" for envelope in good if "NaN" not in json.dumps(envelope)))
    done = check(file)
    assert (done.returncode, done.stdout.count("valid"), done.stderr) == (0, 4, "")
    for change in ("content", "signature"):
        envelope = json.loads(forge().body)
        if change == "content":
            envelope["payload"]["telemetry_normalized"]["events"][0]["data"]["speed"] = 2
        else:
            envelope["signature_b64"] = "A" * 86 + "=="
        file = tmp_path / "bad.json"
        file.write_text(json.dumps(envelope, indent=1))
        done = check(file)
        assert done.returncode == 1
        assert done.stdout.startswith("INVALID")
