"""Wheel and sdist: the same bytes from the same sources, whoever builds them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from hil.rig import ROOT

_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".cache", "dist", "*cache*", "__pycache__", "demo-run")


def build(folder: Path, *, umask: int) -> dict[str, str]:
    """Build from a copy of the sources; return the hash of each file."""
    shutil.copytree(ROOT, folder / "sources", ignore=_LEFT_OUT)
    for number, path in enumerate(sorted((folder / "sources").rglob("*"))):
        os.utime(path, (1_600_000_000 + number * umask, 1_600_000_000 + number * umask))
    out = folder / "out"
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    environment = {"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, cwd=folder / "sources", env=environment, check=True, capture_output=True, umask=umask)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.iterdir())}


def test_two_builds_are_equal_and_hold_what_they_should(tmp_path: Path) -> None:
    first, second = build(tmp_path / "one", umask=0o022), build(tmp_path / "two", umask=0o077)
    assert first == second
    (wheel,) = (name for name in first if name.endswith(".whl"))
    (sdist,) = (name for name in first if name.endswith(".tar.gz"))
    with zipfile.ZipFile(tmp_path / "one" / "out" / wheel) as file:
        tops = {name.partition("/")[0] for name in file.namelist()}
    assert tops == {"actod", wheel.removesuffix("-py3-none-any.whl") + ".dist-info"}
    with tarfile.open(tmp_path / "one" / "out" / sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"deploy/systemd/actod.service", "deploy/debian/requirements.lock", "docs/reload.md"} <= names


def test_the_lock_has_each_dependency_with_hashes_and_names_no_index() -> None:
    lock = (ROOT / "deploy" / "debian" / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    assert {re.split(r"[<>=]", text)[0] for text in wanted} <= locked.keys()
    for entry in re.split(r"\n(?=\S)", lock.partition("\n")[2].strip()):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
