"""Print the SBOM (CycloneDX 1.6, JSON) of actod and of what is bundled with it: python deploy/sbom.py WHEEL [SITE-PACKAGES].

What is bundled, and the hashes of the wheels that may be, stands in deploy/debian/requirements.lock; licences are what
the installed distributions say of themselves, in SITE-PACKAGES or beside the running Python. The same input gives the
same bytes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import sys
import uuid
from collections.abc import Container, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent / "debian" / "requirements.lock"
_ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+)((?:.*\n)(?:    --hash=.*\n?)+)", re.MULTILINE)
_LONGEST_LICENCE = 120  # some put the whole text there


def locked(installed: Container[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (name, version, SHA-256 of each wheel) of the lock; what another Python alone needs is left out if not there."""
    for name, version, rest in _ENTRY.findall(LOCK.read_text(encoding="utf-8")):
        if name in installed or ";" not in rest:
            yield name, version, re.findall(r"sha256:([0-9a-f]{64})", rest)


def licences(metadata: importlib.metadata.PackageMetadata) -> list[dict[str, Any]]:
    """Return what a distribution says of its licence, in CycloneDX's form. Raises ValueError if it says nothing."""
    if expression := metadata.get("License-Expression"):
        return [{"expression": expression}]
    named = metadata.get("License", "").strip()
    if named and "\n" not in named and len(named) <= _LONGEST_LICENCE:
        return [{"license": {"name": named}}]
    classifiers = [
        text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier", []) if text.startswith("License ::")
    ]
    if not classifiers:
        message = f"{metadata['Name']} names no licence"
        raise ValueError(message)
    return [{"license": {"name": name}} for name in classifiers]


def component(name: str, version: str, digests: list[str], metadata: importlib.metadata.PackageMetadata) -> dict[str, Any]:
    """Return one component. Raises ValueError if another version is installed than the lock names."""
    if metadata["Version"] != version:
        message = f"{name} {metadata['Version']} is installed, the lock names {version}"
        raise ValueError(message)
    purl = f"pkg:pypi/{name}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in sorted(digests)],
        "licenses": licences(metadata),
    }


def sbom(wheel: Path, site: str | None) -> dict[str, Any]:
    """Return the whole document."""
    path = [site] if site else sys.path
    installed = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.metadata
        for one in importlib.metadata.distributions(path=path)
    }
    name, version, *_ = wheel.name.split("-")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    own = component(name, version, [digest], installed[name]) | {"type": "application"}
    parts = [component(*entry, installed[entry[0]]) for entry in locked(installed)]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "component": own},
        "components": parts,
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "serialNumber": f"urn:uuid:{serial}"} | document


if __name__ == "__main__":
    print(json.dumps(sbom(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None), indent=1))  # noqa: PLR2004
