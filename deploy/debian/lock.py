"""Write requirements.lock: what the package bundles, each version with the hash of each wheel that a robot can run.

`python deploy/debian/lock.py` asks pip for the newest versions that pyproject.toml allows, for both releases and both
machines; it is run on purpose, and the difference is read before it is committed. No index is named in the file.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
GLIBC = (17, 24, 26, 28, 31, 34)  # Debian 12 has 2.36


def platforms(architecture: str) -> list[str]:
    """Return pip's words for what runs on Debian 12 and 13 of this architecture."""
    machine = MACHINES[architecture]
    words = [f"--platform=manylinux_2_{minor}_{machine}" for minor in GLIBC]
    return [*words, f"--platform=manylinux2014_{machine}"]


def download(folder: Path, *, release: str, architecture: str, wanted: list[str]) -> list[Path]:
    """Have pip resolve and fetch; return the wheels."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--implementation=cp"]
    command += [f"--python-version={PYTHONS[release]}", *platforms(architecture), "-d", str(folder)]
    subprocess.run([*command, *wanted], check=True)
    return sorted(folder.glob("*.whl"))


def main() -> None:
    """Write the lock file beside this one."""
    with (HERE.parents[1] / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    hashes: dict[str, dict[str, str]] = defaultdict(dict)
    users: dict[str, set[str]] = defaultdict(set)
    with tempfile.TemporaryDirectory() as folder:
        for release in PYTHONS:
            for architecture in MACHINES:
                target = Path(folder) / release / architecture
                for wheel in download(target, release=release, architecture=architecture, wanted=wanted):
                    name, version = wheel.name.split("-")[:2]
                    line = f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"
                    hashes[line][wheel.name] = hashlib.sha256(wheel.read_bytes()).hexdigest()
                    users[line].add(release)
    text = ["# Made by deploy/debian/lock.py: the wheels that the package bundles, by their hashes. No index is named.\n"]
    for line, wheels in sorted(hashes.items()):
        (python,) = [PYTHONS[release] for release in users[line]] if len(users[line]) == 1 else [""]
        marker = f' ; python_version == "{python}"' if python else ""
        text.append(f"{line}{marker} \\\n")
        text.append(" \\\n".join(f"    --hash=sha256:{digest}" for digest in sorted(set(wheels.values()))) + "\n")
    (HERE / "requirements.lock").write_text("".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
