"""The published VDA 5050 schemas where they lie, beside the repository: they are not ours to copy."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

_ROOT = Path(__file__).parents[2]
VERSIONS = {"2.0": "v2.0", "2.1": "v2.1", "3.0": "v3"}


def schema(version: str, kind: str) -> dict[str, Any]:
    """Return a schema. Without the folder the test is skipped on a laptop, and fails in CI, where it lies."""
    folder = next((up / "shared/vda5050" for up in _ROOT.parents if (up / "shared/vda5050").is_dir()), None)
    if folder is None:
        missing = "the VDA 5050 schemas are missing: put them into ../shared/vda5050"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    found: dict[str, Any] = json.loads((folder / VERSIONS[version] / f"{kind}.schema").read_text(encoding="utf-8"))
    return found


@functools.cache
def validator(version: str, kind: str) -> Draft202012Validator:
    """Return a validator that checks formats too."""
    return Draft202012Validator(schema(version, kind), format_checker=Draft202012Validator.FORMAT_CHECKER)
