"""Verification and storage by actobotics' own code: nobody marks his own work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError


class Judge:
    """Holds the server's verify function and its registry, in a folder of its own.

    The package's settings read `.env` in the working folder and a file in the home folder: both are pointed here.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["HOME"] = str(folder)
        os.chdir(folder)
        from acto.config import Settings  # noqa: PLC0415 - after the folder was set
        from acto.errors import ProofError  # noqa: PLC0415
        from acto.proof.engine import _verify_proof_internal  # noqa: PLC0415
        from acto.proof.models import ProofEnvelope  # noqa: PLC0415
        from acto.registry import ProofRegistry  # noqa: PLC0415

        self._model, self._verify, self._proof_error = ProofEnvelope, _verify_proof_internal, ProofError
        self._registry = ProofRegistry(Settings(db_url=f"sqlite:///{folder}/registry.db"))

    def parse(self, body: bytes) -> Any:
        """Parse a request's body to the package's model. Raises ValueError with the 422 detail as its argument."""
        try:
            return self._model.model_validate(orjson.loads(body)["envelope"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise ValueError([{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}]) from None
        except ValidationError as exc:
            raise ValueError(exc.errors(include_url=False, include_context=False)) from None

    def verify(self, envelope: Any) -> str:
        """Return "" if the server's function accepts, else its reason. May raise, as the server's does (500)."""
        try:
            self._verify(envelope)
        except self._proof_error as exc:
            return str(exc)
        return ""

    def store(self, envelope: Any, wallet: str) -> str:
        """Store in the server's registry; return the proof id."""
        return str(self._registry.upsert(envelope, owner_wallet=wallet))

    def get(self, proof_id: str) -> Any:
        """Return a stored envelope as a dict, None if there is none."""
        try:
            found = self._registry.get(proof_id)
        except Exception:  # noqa: BLE001 - the registry has its own not-found error, and that is all we ask
            return None
        return found.model_dump()
