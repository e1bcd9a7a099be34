"""Reads envelopes as JSON lines and prints the verdict of actobotics' own verify function for each.

Run as a script, with the folder of another orjson on PYTHONPATH to hold the verdict against that version.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Verify standard input."""
    os.environ["HOME"] = clean = tempfile.mkdtemp(prefix="stock-verifier-")
    os.chdir(clean)
    import orjson  # noqa: PLC0415 - the folder on the path decides which
    from acto.proof.engine import _verify_proof_internal  # noqa: PLC0415 - after the home folder was set
    from acto.proof.models import ProofEnvelope  # noqa: PLC0415

    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            verdict = {"valid": bool(_verify_proof_internal(ProofEnvelope.model_validate(json.loads(line)))), "reason": ""}
        except Exception as exc:  # noqa: BLE001 - whatever the package raises is its verdict
            verdict = {"valid": False, "reason": f"{type(exc).__name__}: {exc}"[:300]}
        print(json.dumps(verdict | {"orjson": orjson.__version__}))
    Path(clean).rmdir()


if __name__ == "__main__":
    main()
