"""What is committed and installed: no secrets but the planted ones, everything by hash, each promise with its test."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from hil.rig import ROOT

LOCKS = [ROOT / ".ci" / name for name in ("requirements.lock", "systemd.lock", "rig.lock", "old-orjson.lock")]
TOKEN = "ghp_" + "aZ3kQ9" * 6


def search(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci" / "no_secrets.py"), *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_secret_is_found_by_its_shape_wherever_it_is_not_planted_and_never_printed(tmp_path: Path) -> None:
    leaked = tmp_path / "settings.py"
    leaked.write_text(f'URL = "mqtt.example"\nTOKEN = "{TOKEN}"\n')
    planted = ROOT / "tests" / "mask" / "test_detectors.py"
    moved = Path(shutil.copy(planted, tmp_path / planted.name))
    done = search(leaked, planted, moved)
    assert done.returncode == 1
    named = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert named == {str(leaked), str(moved)}  # a file is on the list, not the secrets that stand in it
    assert f"{leaked}:2: git_token" in done.stdout
    assert TOKEN not in done.stdout
    assert search(planted).returncode == 0


def test_what_is_installed_for_tests_is_locked_by_hash_in_the_versions_that_are_shipped_and_no_index_is_named() -> None:
    locked: dict[str, str] = {}
    for lock in LOCKS:
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text
        for entry in re.split(r"\n(?=[a-z])", text.partition("\n")[2].strip()):
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
        if lock.name != "old-orjson.lock":
            found = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
            assert found.items() & locked.items() == {(name, found[name]) for name in found.keys() & locked.keys()}, lock
            locked |= found
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["test"],
        *project["dependency-groups"]["hil"],
    ]
    wanted += [text for name in ("systemd", "cli", "fleet", "vault", "aws") for text in extras[name]]
    assert {re.split(r"[<>=\[]", text)[0].lower() for text in wanted} <= locked.keys()
    shipped = (ROOT / "deploy" / "debian" / "requirements.lock").read_text(encoding="utf-8")
    assert dict(re.findall(r"^([a-z0-9-]+)==(\S+)", shipped, re.MULTILINE)).items() <= locked.items()


def test_each_promise_of_the_threat_model_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[a-z_0-9/]+(?:\.py)?)`", page))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    for held in re.findall(r"^\| holds \|.*", page, re.MULTILINE):
        assert "`tests/" in held, held
