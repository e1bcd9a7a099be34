"""The shell completes commands, their actions and options as the program itself has them, and files elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hil.rig import ROOT

SCRIPT = """
actod() { "$PYTHON" -m actod "$@"; }
source "$COMPLETION"
completed() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _actod; echo "${COMPREPLY[@]}"; }
completed actod inc
completed actod incident ""
completed actod maintenance ""
completed actod diag --rec
completed actod verify bun
"""


def test_the_shell_completes_what_the_program_has(tmp_path: Path) -> None:
    (tmp_path / "bundles.jsonl").touch()
    environment = os.environ | {
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "COMPLETION": str(ROOT / "deploy" / "completion" / "actod.bash"),
    }
    done = subprocess.run(["bash", "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "incident",
        "lock unlock",
        "weekly monthly quarterly",
        "--recipient",
        "bundles.jsonl",
    ]
