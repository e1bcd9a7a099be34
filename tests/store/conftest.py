"""What every test of the store leaves behind: nothing open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.store.parts import OPENED


@pytest.fixture(autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
