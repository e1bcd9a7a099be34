"""What changes at once is one list: the program's, and the page's for operators."""

from __future__ import annotations

import dataclasses
import re
from typing import get_type_hints

from actod.config import Config
from actod.reload import IN_PLACE
from hil.rig import ROOT


def test_each_key_that_is_taken_is_a_key_of_its_table_and_stands_in_the_page() -> None:
    page = (ROOT / "docs" / "reload.md").read_text(encoding="utf-8")
    hints = get_type_hints(Config)
    for table, keys in IN_PLACE.items():
        (row,) = re.findall(rf"^\| `\[+{table}\]+` \| (.*) \|$", page, re.MULTILINE)
        if not keys:
            assert row.startswith("all;")
            continue
        known = {item.name for item in dataclasses.fields(hints[table])}
        assert set(keys) <= known
        named = set(re.findall(r"`(\w+)`", row))
        assert named == (known - set(keys) if row.startswith("all but") else set(keys))
