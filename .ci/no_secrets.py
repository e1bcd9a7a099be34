"""Search files for secrets before they are committed: python .ci/no_secrets.py [FILE...]; by default all that git knows.

The detectors are actod's own (`actod mask --check`, profile secrets-only), those that know a secret by its shape: keys and
tokens of services, private keys, passwords in URLs. What is one by the word beside it is not asked for: source code is
full of words like password. No value is printed. Exit codes: 0 nothing found, 1 something, or a stale entry of planted.toml.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from actod.cli.mask import search
from actod.config import MaskingConfig
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy

ROOT = Path(__file__).resolve().parents[1]
PLANTED = ROOT / ".ci" / "planted.toml"  # where made-up secrets stand on purpose
SHAPED = frozenset(
    "acto_key aws_key chat_token cloud_key connection_string git_token jwt model_key payment_key private_key"
    " url_credential".split()
)


def known(root: Path) -> list[Path]:
    """Return the files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout.decode()
    return [root / name for name in listed.split("\0") if name]


def found(files: list[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield (file, place, type) of each secret by its shape."""
    masker = PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=bytes(32))
    for file in files:
        if file.is_file() and not file.is_symlink():
            name = str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)
            for place, decision in search(masker, file.read_bytes(), profile="secrets-only"):
                if decision.type in SHAPED:
                    yield name, place, decision.type


def main(arguments: list[str]) -> int:
    """Print what was found and is not known to be planted."""
    planted: list[dict[str, Any]] = tomllib.loads(PLANTED.read_text(encoding="utf-8"))["planted"]
    files = [Path(name).resolve() for name in arguments] or known(ROOT)
    used, bad = set(), 0
    for name, place, kind in found(files):
        entries = [index for index, one in enumerate(planted) if fnmatch(name, one["files"]) and kind in one["types"]]
        used.update((index, kind) for index in entries)
        if not entries:
            bad += 1
            print(f"{name}:{place} {kind}. Fix: take it out, and end it where it was valid: whoever saw it has it")
    wanted = {(index, kind) for index, one in enumerate(planted) for kind in one["types"]}
    for index, kind in sorted(wanted - used) if not arguments else ():
        bad += 1
        print(f".ci/planted.toml: no {kind} stands in {planted[index]['files']} any more. Fix: remove it from the entry")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
