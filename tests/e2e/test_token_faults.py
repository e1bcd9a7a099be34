"""A daemon whose token fails in all kinds of ways loses nothing, seals nothing wrong, and seals on when it is well."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

from hil import soak_token
from hil.oracle import events, judge
from hil.parts.softhsm import SoftToken, make_token
from hil.rig import Rig, build, wait_for
from hil.soak import number
from tests.keys.parts import Spy

# The rest of the table is held to at the signer itself, see tests/keys/test_faults.py.
FAULTS = [
    ("C_Sign", "GENERAL_ERROR"),
    ("C_Sign", "lie"),
    ("C_SignInit", "DEVICE_REMOVED"),
    ("C_Sign", "hang"),
    ("C_Sign", "segv"),
]


def spied(folder: Path) -> tuple[Spy, Callable[[Path], SoftToken]]:
    """Return the switches, and what makes a token behind them."""
    (folder / "switches").mkdir()
    spy = Spy(folder / "spy.so", folder / "switches")
    source = Path(__file__).parents[1] / "keys" / "spy.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(spy.library), str(source), "-ldl"], check=True)

    def new_token(place: Path) -> SoftToken:
        token = make_token(place)
        return dataclasses.replace(token, uri=spy.uri, environment=dict(token.environment) | spy.environment)

    return spy, new_token


def test_nothing_is_lost_and_nothing_wrong_is_sealed_while_the_token_fails_lies_hangs_and_crashes(tmp_path: Path) -> None:
    spy, new_token = spied(tmp_path)
    with build(tmp_path / "rig", settings=soak_token.SETTINGS, new_token=new_token) as rig:
        rig.actod.start()
        wait_for(rig.witness.subscribed, what="the subscription")
        load = soak_token.Load(rig.broker.port)
        load.start()
        try:
            for function, what in FAULTS:
                sealed_after(rig, load.published)
                spy.fault(function, what)
                wait_for(lambda: spy.count("calls") > 0, what=f"{what} at {function}")
                before = rig.witness.count_pubacks()
                wait_for(lambda seen=before: rig.witness.count_pubacks() > seen + 10, what=f"collection with {what}")
                spy.well()
            sealed_after(rig, load.published)
        finally:
            load.end()
        sealed_after(rig, load.published - 1)
        assert rig.actod.stop() == 0
        verdict = judge(rig, number=number, published=range(load.published))
    assert verdict.problems() == []
    assert verdict.acknowledged == verdict.sealed == load.published


def sealed_after(rig: Rig, message: int) -> None:
    """Wait until a message that was sent now, and all before it, are in bundles at the collector."""
    wanted = set(range(message + 1))
    wait_for(
        lambda: wanted <= {number("", event["data"]) for event, _ in events(rig.envelopes())}, seconds=90, what="the bundles"
    )
