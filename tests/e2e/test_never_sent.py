"""A server that is not the pinned one gets no byte of a request; the queue is kept, and the state says why."""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets

from hil.oracle import judge
from hil.rig import Rig, wait_for, write_config
from hil.soak import SETTINGS, Publisher, number

DAY = dt.timedelta(days=1)


def states(rig: Rig) -> list[tuple[str, str]]:
    """Return (state, reason) of each change of the uplink's state, in order, from the audit log."""
    lines = [
        json.loads(line) for file in sorted((rig.state / "audit").glob("*.jsonl")) for line in file.read_bytes().splitlines()
    ]
    return [(line["state"], line["reason"]) for line in lines if line["event"] == "submit.state"]


def publish(rig: Rig, count: int) -> None:
    publisher = Publisher(port=rig.broker.port, messages=count, per_second=1000)
    publisher.start()
    publisher.join(30)


def waiting_bundles(rig: Rig) -> int:
    answer = rig.tool("queue", "list", "--json", "--state", str(rig.state), check=True)
    return int(json.loads(answer.stdout)["status"]["outbox_bundles"])


def test_no_byte_leaves_for_an_expired_wrong_name_or_foreign_certificate_and_all_arrives_when_it_is_mended(rig: Rig) -> None:
    now = dt.datetime.now(dt.UTC)
    expired = rig.authority.issue("expired", not_before=now - 9 * DAY, not_after=now - DAY)
    wrong_name = rig.authority.issue("other", san=("192.0.2.1", "collector.example"))
    self_signed = rig.authority.issue("self-signed", self_signed=True)
    good = rig.collector.certificate
    rig.collector.serve(expired)
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 30)
    for certificate, reason in (
        (expired, "certificate_expired"),
        (wrong_name, "certificate_wrong_name"),
        (self_signed, "certificate_untrusted"),
    ):
        rig.collector.serve(certificate)
        wait_for(lambda why=reason: states(rig)[-1:] == [("blocked:tls", why)], what=f"the state to name {reason}")
    assert rig.collector.stats()["stats"].get("application_bytes", 0) == 0
    assert rig.envelopes() == []
    assert waiting_bundles(rig) > 0
    rig.collector.serve(good)
    wait_for(lambda: waiting_bundles(rig) == 0 and states(rig)[-1][0] == "ok", what="the queue to drain")
    assert rig.actod.stop() == 0
    assert judge(rig, number=number, published=range(30)).problems() == []


def test_no_byte_leaves_for_a_server_that_is_trusted_but_not_pinned(rig: Rig) -> None:
    pins = ["sha256/" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2)]
    right = rig.config_file.read_text(encoding="utf-8")
    wrong = right.replace(rig.authority.pin, pins[0]).replace(rig.authority.backup_pin, pins[1])
    rig.config_file.write_text(wrong, encoding="utf-8")
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 30)
    wait_for(lambda: ("blocked:pin", "pin_mismatch") in states(rig), what="the state")
    wait_for(lambda: rig.collector.stats()["stats"].get("connections", 0) > 2, what="more attempts")
    assert rig.actod.stop() == 0
    assert rig.collector.stats()["stats"].get("application_bytes", 0) == 0
    assert waiting_bundles(rig) > 0
    audited = b"".join(file.read_bytes() for file in (rig.state / "audit").glob("*.jsonl"))
    assert rig.authority.pin.encode() in audited  # the pins that were seen: for the operator who rotated on purpose

    write_config(rig, settings=SETTINGS)
    rig.actod.start()
    wait_for(lambda: len({number("", e["data"]) for e in _events(rig)}) >= 30, what="every message at the collector")
    assert rig.actod.stop() == 0
    assert judge(rig, number=number, published=range(30)).problems() == []


def _events(rig: Rig) -> list[dict[str, dict[str, int]]]:
    return [event for envelope in rig.envelopes() for event in envelope["payload"]["telemetry_normalized"]["events"]]


def test_a_plain_http_collector_is_refused_at_start_and_the_queue_is_kept(rig: Rig) -> None:
    rig.collector.set_faults([{"kind": "status", "status": 503}])
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 30)
    wait_for(lambda: waiting_bundles(rig) > 0, what="a bundle in the queue")
    assert rig.actod.stop() == 0
    kept = waiting_bundles(rig)
    text = rig.config_file.read_text(encoding="utf-8")
    rig.config_file.write_text(text.replace('url = "https://', 'url = "http://'), encoding="utf-8")
    for arguments in (("run",), ("run", "--dry-run"), ("check",)):
        refused = rig.tool(*arguments, "--config", str(rig.config_file))
        assert refused.returncode in {1, 78}, arguments
        assert "collector.url" in refused.stdout + refused.stderr
        assert "use https" in refused.stdout + refused.stderr
    assert rig.tool("run", "--config", str(rig.config_file)).returncode == 78
    assert waiting_bundles(rig) == kept
