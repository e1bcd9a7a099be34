"""`actod status` as an operator sees it: what goes on, what is waited for, and that nobody is there."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from actod.cli.status import day_lines
from hil.rig import Rig, wait_for
from tests.e2e.test_away import publish


def test_status_shows_what_goes_on_and_what_is_waited_for(rig: Rig) -> None:
    arguments = ("status", "--config", str(rig.config_file))
    away = rig.tool(*arguments)
    assert (away.returncode, away.stdout) == (1, "")
    assert "systemctl start actod" in away.stderr

    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 0, 300)

    def facts() -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(rig.tool(*arguments, "--json", check=True).stdout)
        return answer

    settled = wait_for(lambda: (seen := facts())["store"]["submitted"] >= 2 and seen, what="the first receipts")
    assert (settled["intake"], settled["uplink"], settled["sealing_waits_for"]) == ("connected", "ok", None)
    assert settled["store"]["acknowledged"] >= 300
    assert settled["days_until_full"] is None  # a minute at least: less says nothing about a day
    assert settled["signer"]["calls"] > 0

    token = rig.token.folder / "tokens"
    token.rename(token.with_suffix(".away"))
    os.kill(wait_for(rig.actod.signer_pid, what="the signer"), signal.SIGKILL)
    publish(rig, 300, 310)
    text = wait_for(
        lambda: "sealing     waits for the token: token_" in (said := rig.tool(*arguments, check=True).stdout) and said,
        what="the reason for which nothing is sealed",
    )
    assert "not known yet" in text
    assert "journal     " in text
    assert rig.actod.stop() == 0


def test_a_day_is_told_in_megabytes_and_in_days_until_the_queue_is_full() -> None:
    store = {"written_bytes_a_day": 4_900_000_000, "write_amplification": 0.98}
    paces = {"message_bytes_a_day": 5_000_000_000, "wire_bytes_a_day": 700_000_000, "days_until_full": 0.021}
    assert list(day_lines({"store": store, **paces})) == [
        "a day       5000.0 MB of messages, 4900.0 MB to the disk (0.98 for each byte), 700.0 MB on the wire",
        "full after  30.2 minutes, if nothing leaves",
    ]
