"""docs/configuration.md is made from the types, and never falls behind them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_types_say() -> None:
    made = subprocess.run([sys.executable, _ROOT / "docs/configuration.py"], check=True, capture_output=True, text=True)
    page = _ROOT / "docs/configuration.md"
    assert page.read_text() == made.stdout, f"python docs/configuration.py > {page.relative_to(_ROOT)}"
