"""Sentences, ids and catalogue are one: what is warned of is explained, and what is explained is said."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actod.service.messages import MESSAGES, catalogue
from hil.rig import ROOT

_LEVELS = {"info", "warning", "error", "exception", "critical"}


def said() -> Iterator[tuple[str, str, set[str]]]:
    """Yield (level, sentence, fields) of each line that the program can log."""
    for file in sorted((ROOT / "actod").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS):
                continue
            logger = ast.unparse(node.func.value)
            if logger not in {"_log", "structlog.get_logger(__name__)"}:
                continue
            first = node.args[0]
            sentence = first.value if isinstance(first, ast.Constant) else constants[ast.unparse(first)]
            fields = {word.arg for word in node.keywords if word.arg}
            yield node.func.attr, str(sentence), {"*"} if any(not word.arg for word in node.keywords) else fields


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str, set[str]]]:
    return list(said())


def test_each_warning_and_error_has_an_entry_and_no_entry_is_left_behind(lines: list[tuple[str, str, set[str]]]) -> None:
    sentences = {sentence for _, sentence, _ in lines}
    warned = {sentence for level, sentence, _ in lines if level != "info"}
    assert warned - MESSAGES.keys() == set(), "add it to actod/service/messages.py: what it means, and what mends it"
    assert MESSAGES.keys() - sentences == set(), "nothing says this any more"


def test_each_field_that_an_explanation_shows_is_a_field_of_its_line(lines: list[tuple[str, str, set[str]]]) -> None:
    for _, sentence, fields in lines:
        shown = set(re.findall(r"@ACTOD_([A-Z_]+)@", MESSAGES[sentence].explained)) if sentence in MESSAGES else set()
        assert "*" in fields or shown <= {field.upper() for field in fields}, sentence


def test_ids_are_unique_and_what_systemd_takes_for_an_id() -> None:
    ids = [message.id for message in MESSAGES.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)


def test_systemd_compiles_the_catalogue_and_shows_each_entry(tmp_path: Path) -> None:
    if shutil.which("journalctl") is None:
        pytest.fail("journalctl is missing: apt-get install systemd")
    folder = tmp_path / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    (folder / "actod.catalog").write_text(catalogue(), encoding="utf-8")
    made = subprocess.run(
        ["journalctl", "--update-catalog", f"--root={tmp_path}"], capture_output=True, text=True, check=True
    )
    assert made.stderr == ""
    database = tmp_path / "var/lib/systemd/catalog/database"
    content = database.read_bytes().decode("utf-8", "replace")
    for sentence, message in MESSAGES.items():
        assert f"Subject: {sentence.rstrip('.')}" in content
        assert message.explained.split()[0] in content
