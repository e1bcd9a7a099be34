"""The SBOM names each bundled distribution with version, hashes and licence, and no index."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hil.rig import ROOT

LOCK = ROOT / "deploy" / "debian" / "requirements.lock"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = {"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def made(wheel: Path) -> str:
    command = [sys.executable, str(ROOT / "deploy" / "sbom.py"), str(wheel)]
    environment = {"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1700000000"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def test_each_distribution_of_the_lock_is_there_with_version_hashes_and_licence(wheel: Path) -> None:
    text = made(wheel)
    document = json.loads(text)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", document["serialNumber"])
    lock = LOCK.read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    parts = {part["name"]: part for part in document["components"]}
    assert {name: part["version"] for name, part in parts.items()} == locked
    own = document["metadata"]["component"]
    for part in (own, *parts.values()):
        assert part["purl"] == part["bom-ref"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["hashes"]
        assert all(one["alg"] == "SHA-256" for one in part["hashes"])
        (licence, *_) = part["licenses"]
        assert licence.get("expression") or licence["license"]["name"], part["name"]
    digests = {one["content"] for part in parts.values() for one in part["hashes"]}
    assert digests == set(re.findall(r"sha256:([0-9a-f]{64})", lock))
    assert (own["name"], own["licenses"]) == ("actod", [{"expression": "Apache-2.0"}])
    assert document["dependencies"] == [
        {"ref": own["bom-ref"], "dependsOn": [part["bom-ref"] for part in document["components"]]}
    ]
    assert re.findall(r"\w+://[^\"]*", text) == ["http://cyclonedx.org/schema/bom-1.6.schema.json"]
    assert made(wheel) == text
