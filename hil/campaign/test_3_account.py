"""When the faults are over: nothing lost, nothing leaked, everything verified by the key in the chip."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hil import account
from hil.ordeal import Ordeal
from hil.report import supported
from hil.rig import ROOT
from hil.verdict import Account, in_words
from hil.world import World


@pytest.fixture(scope="module")
def drawn_up(ordeal: Ordeal, installed: World) -> Account:
    drawn = Account()
    try:
        ordeal.close()
        drawn = account.draw_up(installed, twice_published=ordeal.traffic.repeated())
        account.search(installed, drawn, canaries=ordeal.traffic.canaries())
    finally:  # an account that breaks off does not hold; the faults before it are to be read all the same
        ordeal.write_report(ROOT / "hil" / "out", drawn)
    return drawn


def test_nothing_is_lost_or_leaked_and_everything_verifies(
    drawn_up: Account, ordeal: Ordeal, say_of_it: Callable[[str], None]
) -> None:
    say_of_it(f"{in_words(drawn_up)}; {supported(ordeal.results)}; the report lies in hil/out")
    assert drawn_up.problems() == []
