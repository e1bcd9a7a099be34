"""The daemon's stand-in silences the log of its process; other tests read theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _the_log_speaks_again() -> Iterator[None]:
    yield
    structlog.reset_defaults()
