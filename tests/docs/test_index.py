"""Whoever begins at README reaches each page, and no link leads nowhere; and each command of a page is run by some test."""

from __future__ import annotations

import re
from pathlib import Path

from hil.rig import ROOT
from tests.docs.elsewhere import ELSEWHERE, lines_to_run
from tests.docs.page import Page

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "deploy/tpm/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TESTS = Path(__file__).parent
RUN_BY_OTHERS = {
    "deploy/tpm/README.md": "tests/tpm/test_provision.py",
    "docs/incidents.md": "tests/e2e/test_runbooks.py",
    "docs/maintenance.md": "tests/e2e/test_maintenance.py",
    "docs/performance.md": "tests/bench/test_performance_page.py",
}


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the relative links of a page: the file, and the heading in it, if any."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [
        ((page.parent / name).resolve() if name else page, heading)
        for name, _, heading in (link.partition("#") for link in found if "://" not in link)
    ]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as web views of a repository make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_no_link_leads_nowhere() -> None:
    dead = [
        f"{page.relative_to(ROOT)}: {target.name}#{heading}"
        for page in PAGES
        for target, heading in links(page)
        if not target.exists() or (heading and heading not in headings(target))
    ]
    assert dead == []


def test_each_page_is_in_the_readmes_index() -> None:
    linked = {target for target, _ in links(ROOT / "README.md")}
    assert [str(page.relative_to(ROOT)) for page in PAGES[1:] if not {page, page.parent} & linked] == []


def test_each_page_with_commands_is_run_by_a_test() -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in TESTS.glob("*.py"))
    ran = {ROOT / name for name in re.findall(r'Page\("([^"]+)"\)', tests)} | {ROOT / name for name in RUN_BY_OTHERS}
    with_commands = {page for page in PAGES if any(block.language == "sh" for block in Page(str(page)).blocks)}
    assert with_commands - ran == set()
    assert [name for name in RUN_BY_OTHERS.values() if not (ROOT / name).exists()] == []


def test_what_is_run_elsewhere_stands_in_a_page() -> None:
    commands = [line for page in PAGES for block in Page(str(page)).blocks for line in block.text.splitlines()]
    assert [start for start in ELSEWHERE if not any(line.startswith(start) for line in commands)] == []
    assert lines_to_run("make demo\nactod version\n") == ["actod version"]
