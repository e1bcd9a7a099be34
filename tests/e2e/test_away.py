"""What is away comes back: token, signer, collector, broker. Collection goes on, and stopping stays quick."""

from __future__ import annotations

import os
import re
import signal
import time

from hil.oracle import events, judge
from hil.rig import Rig, wait_for
from hil.soak import Publisher, number


def numbers(rig: Rig) -> set[int | None]:
    return {number("", event["data"]) for event, _ in events(rig.envelopes())}


def publish(rig: Rig, first: int, end: int) -> None:
    publisher = Publisher(port=rig.broker.port, messages=end - first, per_second=1000, first=first)
    publisher.start()
    publisher.join(60)


def test_collection_and_submission_go_on_while_the_signer_is_stopped_killed_or_its_token_gone(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 0, 50)
    wait_for(lambda: numbers(rig) >= set(range(50)), what="the first bundles")

    def acknowledged_while_away(first: int, end: int) -> None:
        before = rig.witness.count_pubacks()
        publish(rig, first, end)
        wait_for(
            lambda: rig.witness.count_pubacks() >= before + end - first, what="acknowledgements while the signer is away"
        )

    signer = wait_for(rig.actod.signer_pid, what="the signer")
    os.kill(signer, signal.SIGSTOP)
    acknowledged_while_away(50, 60)
    wait_for(lambda: numbers(rig) >= set(range(60)), seconds=60, what="sealing after the signer hung")
    os.kill(wait_for(rig.actod.signer_pid, what="the signer"), signal.SIGKILL)
    acknowledged_while_away(60, 70)
    wait_for(lambda: numbers(rig) >= set(range(70)), seconds=60, what="sealing after the signer was killed")

    token, away = rig.token.folder / "tokens", rig.token.folder / "tokens.away"
    token.rename(away)
    os.kill(wait_for(rig.actod.signer_pid, what="the signer"), signal.SIGKILL)
    acknowledged_while_away(70, 80)
    away.rename(token)
    wait_for(lambda: numbers(rig) >= set(range(80)), seconds=60, what="sealing after the token came back")
    assert rig.actod.stop() == 0
    assert judge(rig, number=number, published=range(80)).problems() == []


def test_a_stop_is_orderly_within_twenty_seconds_whatever_is_away(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 0, 50)
    os.kill(wait_for(rig.actod.signer_pid, what="the signer"), signal.SIGSTOP)
    rig.collector.set_faults([{"kind": "delay", "seconds": 60}])
    rig.broker.kill()
    started = time.monotonic()
    assert rig.actod.stop() == 0
    assert time.monotonic() - started < 20


def test_a_second_process_on_the_same_state_folder_is_refused(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    second = rig.tool("run", "--config", str(rig.config_file))
    assert second.returncode == 75
    assert "another actod works" in second.stderr
    assert rig.actod.running()
    why = rig.tool("why", "--config", str(rig.config_file))
    assert (why.returncode, why.stderr) == (0, "")
    assert re.fullmatch(r"(nothing waits|no bundle waits;|\d+ bundles wait, the oldest).*\n", why.stdout)
