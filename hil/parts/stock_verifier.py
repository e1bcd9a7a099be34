"""The server's own verify function over envelopes: JSON lines in, one verdict a line out.

    PYTHONPATH=.cache/orjson-3.11.5 python hil/parts/stock_verifier.py < envelopes.jsonl

Each line of the answer is {"valid": bool, "reason": string, "orjson": version}. The text is parsed as the server parses a
request body, with the standard library: NaN included. Nothing of actod is loaded.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any


def main() -> int:
    """Verify every line of stdin."""
    with tempfile.TemporaryDirectory() as clean:
        os.environ["HOME"] = clean  # the package reads a file of the home folder and .env of the working folder
        os.chdir(clean)
        import orjson  # noqa: PLC0415 - PYTHONPATH says which, after the clean environment is made
        from acto.proof.engine import _verify_proof_internal  # noqa: PLC0415 - what the server calls
        from acto.proof.models import ProofEnvelope  # noqa: PLC0415

        def verdict(envelope: Any) -> tuple[bool, str]:
            try:
                return bool(_verify_proof_internal(ProofEnvelope.model_validate(envelope))), ""
            except Exception as exc:  # noqa: BLE001 - whatever it raises is a refusal
                return False, f"{type(exc).__name__}: {str(exc).splitlines()[0][:200]}"

        for line in sys.stdin:
            if line.strip():
                value = json.loads(line)
                envelope = value["envelope"] if "payload" not in value and "envelope" in value else value
                valid, reason = verdict(envelope)
                print(json.dumps({"valid": valid, "reason": reason, "orjson": orjson.__version__}), flush=True)
        os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
