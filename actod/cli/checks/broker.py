"""The broker: whether it answers, and what it does with messages while actod is away."""

from __future__ import annotations

import math

from actod.cli.checks import mosquitto
from actod.cli.checks.check import Check, Finding, doubt, ok, skip, trouble
from actod.cli.checks.site import Site
from actod.cli.state import NotRunningError, RefusedError
from actod.collect.credentials import tls_context
from actod.collect.probe import BrokerAnswer
from actod.errors import ActodError, TransientError
from actod.submit.endpoint import is_loopback
from actod.submit.seen import ends_soon, validity

_REMEDIES = {
    "unreachable": "systemctl start mosquitto   # else check mqtt.host, mqtt.port; under TLS mqtt.port its TLS port",
    "certificate_refused": "openssl s_client -connect HOST:PORT   # renew it if ended; else mqtt.ca_file must hold its CA",
    "refused": "actod credentials rotate broker --new FILE   # else check mqtt.username, and the broker's access list",
    "no_answer": "mosquitto_sub -h HOST -p PORT -V 5 -t test   # mqtt.port must speak MQTT 5, and TLS if mqtt.tls is set",
}
_SHORTEST_SECONDS = 300  # an upgrade, a reboot with a check of the disk, a person who looks
_USUAL_BYTES = 600  # a VDA 5050 state message
_USUAL_RATE = 100.0  # what a busy robot says, where nothing was seen yet
_DAY_SECONDS = 86_400
_PACKET_BYTES = 128 * 1024  # a packet's topic and properties, beside its payload


def _broker(site: Site) -> Finding:
    mqtt = site.config.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    if mqtt.tls:
        tls_context(mqtt)
    try:
        answer = site.broker()
    except TransientError as exc:
        return trouble(f"{where}: {exc}", _REMEDIES.get(exc.reason, "journalctl -u mosquitto"))
    if answer is not None and answer.certificate is not None and ends_soon(answer.certificate, site.now):
        end = validity(answer.certificate)[1]
        return doubt(
            f"{where}: its certificate ends on {end:%Y-%m-%d}, and nothing is collected after that",
            "openssl s_client -connect HOST:PORT   # renew it on the broker's machine",
        )
    return ok(f"{where} accepts MQTT 5")


def _tls(site: Site) -> Finding:
    mqtt = site.config.mqtt
    if mqtt.tls or is_loopback(mqtt.host):
        return ok("TLS" if mqtt.tls else "on this machine: nothing crosses a network")
    return trouble(f"{mqtt.host} is another machine, and mqtt.tls is not set: raw messages cross the network unencrypted")


def _login(site: Site) -> Finding:
    mqtt = site.config.mqtt
    if mqtt.username or mqtt.certificate_file:
        return ok(f"as {mqtt.username}" if mqtt.username else "with a client certificate")
    if is_loopback(mqtt.host):
        return ok("without a name, on this machine")
    return trouble(f"{mqtt.host} is another machine, and takes whoever comes: anybody there can read and forge")


def _local(site: Site) -> dict[str, str] | None:
    """Return the settings of the broker on this machine, None where it is elsewhere or says nothing of itself."""
    mqtt = site.config.mqtt
    return mosquitto.settings(site, port=mqtt.port) if is_loopback(mqtt.host) else None


def _answer(site: Site) -> BrokerAnswer | None:
    """Return what the broker said, None where it said nothing: another check tells of that."""
    try:
        return site.broker()
    except (ActodError, OSError):
        return None


def _inflight(site: Site) -> Finding:
    answer, local, wanted = _answer(site), _local(site), site.config.mqtt.receive_maximum
    named = answer.receive_maximum if answer is not None else None
    inflight = _number(local["max_inflight_messages"]) if local is not None else named
    if inflight is None:
        return skip("the broker does not say how many messages it has in flight")
    if 0 < inflight < wanted:
        return trouble(
            f"{inflight} messages in flight: actod takes {wanted}, and with fewer writes more often",
            f"echo 'max_inflight_messages {wanted}' >> /etc/mosquitto/conf.d/robot.conf && systemctl restart mosquitto",
        )
    return ok(f"{inflight or 'any number of'} messages in flight")


def _queue(site: Site) -> Finding:
    local = _local(site)
    if local is None:
        return doubt(
            "how much the broker keeps while actod is away is not known: /etc/mosquitto is not there, or of another one",
            "grep -rh max_queued /etc/mosquitto/   # on the broker's machine; docs/topology.md says how much it takes",
        )
    rate, whence = _rate(site)
    messages, size = _number(local["max_queued_messages"]), _number(local["max_queued_bytes"])
    most = min(messages or math.inf, size / _USUAL_BYTES if size else math.inf)
    if most == math.inf:
        return ok(f"the queue has no end, at {whence}")
    seconds = most / rate
    busy = f", {most / _USUAL_RATE:.0f} s at {_USUAL_RATE:.0f}"
    detail = f"the queue holds {most:.0f} messages, full after {seconds:.0f} s of absence at {whence}{busy}"
    if seconds < _SHORTEST_SECONDS:
        wanted = math.ceil(_SHORTEST_SECONDS * rate / 1000) * 1000
        return trouble(
            f"{detail}; what comes then is dropped",
            f"echo 'max_queued_messages {wanted}' >> /etc/mosquitto/conf.d/robot.conf && systemctl restart mosquitto",
        )
    return ok(detail)


def _rate(site: Site) -> tuple[float, str]:
    """Return the most messages a second that anybody saw, and who: $SYS for the last minute, the running daemon, or none."""
    answer = _answer(site)
    seen: list[tuple[float, str]] = []
    if answer is not None and answer.messages_per_second and math.isfinite(answer.messages_per_second):
        seen.append((answer.messages_per_second, "$SYS, of the last minute"))
    try:
        status = site.status()
    except (NotRunningError, RefusedError):
        status = {}
    if now := (status.get("rates_per_second") or {}).get("messages_received"):
        seen.append((now, "actod, at this moment"))
    if a_day := status.get("message_bytes_a_day"):
        seen.append((a_day / _DAY_SECONDS / _USUAL_BYTES, f"actod, since its start, at {_USUAL_BYTES} B each"))
    rate, who = max(seen, default=(_USUAL_RATE, "a guess: none was seen yet"))
    return rate, f"{rate:.1f} messages a second ({who})"


def _store(site: Site) -> Finding:
    local = _local(site)
    if local is None:
        return skip("where the broker's store lies is not known: it is not on this machine, or is no mosquitto")
    folder = local["persistence_location"]
    if local["persistence"] != "true":
        return trouble("it has no store: a restart of the broker forgets actod's session, and what waits for it")
    if not site.path(folder).is_dir():
        return doubt(f"{folder} is not there", f"install -d -m 0700 -o mosquitto {folder}")
    disk = site.disk(site.path(folder))
    crypt = {True: "encrypted", False: "not encrypted", None: "encryption unknown"}[disk.encrypted]
    detail = f"{folder} on {disk.kind}, {crypt}: raw messages lie there while actod is away"
    if disk.volatile:
        return trouble(f"{detail}; {disk.volatile}")
    if disk.encrypted is False and site.prod and site.disk(site.existing(site.config.state_directory)).encrypted:
        return trouble(
            f"{detail}, while what is masked is encrypted", f"cryptsetup luksFormat DEVICE   # mount it at {folder}"
        )
    return ok(detail)


def _packet_size(site: Site) -> Finding:
    answer, local, wanted = _answer(site), _local(site), site.config.intake.largest_payload_bytes
    named = [answer.maximum_packet_bytes] if answer is not None and answer.maximum_packet_bytes else []
    if local is not None:
        named += [size for key in ("max_packet_size", "message_size_limit") if (size := _number(local[key]))]
    if not named:
        return ok("the broker takes messages of any size")
    if min(named) < wanted:
        older = local is not None and 0 < _number(local["message_size_limit"]) < wanted
        return trouble(
            f"the broker takes messages of {min(named)} B at most, actod {wanted}: between these nobody counts",
            f"echo '{'message_size_limit 0' if older else f'max_packet_size {wanted + _PACKET_BYTES}'}' >> "
            "/etc/mosquitto/conf.d/robot.conf && systemctl restart mosquitto",
        )
    return ok(f"the broker takes messages of {min(named)} B")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


GROUP = "broker"
CHECKS = (
    Check(
        id="broker-answers",
        looks_at="whether it takes a connection with MQTT 5, TLS and login as configured",
        run=_broker,
        mend="systemctl start mosquitto",
        elsewhere="fail",
        network=True,
        needs=("configuration-valid", "secret-broker"),
    ),
    Check(
        id="broker-tls",
        looks_at="whether what crosses a network to the broker is encrypted",
        run=_tls,
        mend="actod reload   # after tls = true, ca_file and the broker's TLS port in [mqtt]",
    ),
    Check(
        id="broker-login",
        looks_at="whether a broker on another machine asks who comes",
        run=_login,
        mend="mosquitto_passwd -c /etc/mosquitto/passwords NAME   # there; then username and password_file in [mqtt]",
    ),
    Check(
        id="broker-inflight",
        looks_at="max_inflight_messages against mqtt.receive_maximum: fewer in flight are more writes, more wear",
        run=_inflight,
        mend="echo 'max_inflight_messages 200' >> /etc/mosquitto/conf.d/robot.conf && systemctl restart mosquitto",
        prod="warn",
    ),
    Check(
        id="broker-queue",
        looks_at="after how many seconds of absence its queue is full, at the observed rate; a warning below 300",
        run=_queue,
        mend="echo 'max_queued_messages 100000' >> /etc/mosquitto/conf.d/robot.conf && systemctl restart mosquitto",
        prod="warn",
    ),
    Check(
        id="broker-store",
        looks_at="where raw messages lie while actod is away: a store, on a disk that lasts, in prod encrypted",
        run=_store,
        mend="echo 'persistence true' >> /etc/mosquitto/conf.d/robot.conf && systemctl restart mosquitto",
    ),
    Check(
        id="broker-packet-size",
        looks_at="max_packet_size against intake.largest_payload_bytes: what the broker refuses nobody counts",
        run=_packet_size,
        mend="echo 'max_packet_size 1048576' >> /etc/mosquitto/conf.d/robot.conf && systemctl restart mosquitto",
        prod="warn",
    ),
)
