"""Each check of `actod check` fails where its own thing is broken, for its own reason alone; in health none does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from actod.cli.checks.check import Line
from actod.cli.checks.registry import CHECKS, PROGRAMS
from hil.parts.broker import free_port
from tests.cli.breakages import (
    ROBOT_CONF,
    SITE_CONF,
    Breakage,
    a_secret_in_a_comment,
    all_of,
    audit_line_changed,
    bundle_set_aside,
    certificate_ends,
    client_certificate_ends,
    configuration_open,
    credential_of_last_quarter,
    credential_of_yesterday,
    disk_without_inodes,
    do,
    drop_in,
    elsewhere,
    every_pin_is_of_the_chain,
    key_of_last_year,
    machine_id_of_an_image,
    message_of_last_week,
    messages_were_refused,
    mode,
    mounted_on,
    near_a_lockout,
    no_units,
    nothing,
    one_key_for_everything,
    option,
    pin_set,
    plain_wallet,
    queue_nearly_full,
    replaced,
    says,
    sealed_to_the_host_alone,
    secret,
    setting,
    signer_away,
    signer_of_the_daemon,
    software_beside,
    store_is_none,
    token_away,
    unlinked,
    void,
    wallet_is_a_link,
    written,
)
from tests.cli.healthy import COLLECTOR, Robot, SetClock, case, running


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with running(tmp_path_factory.mktemp("robot")) as healthy:
        yield healthy


@pytest.fixture(scope="module")
def healthy(robot: Robot, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Line]:
    """Return the line of each check where nothing is wrong."""
    with case(robot, tmp_path_factory.mktemp("healthy")) as each:
        return each.lines()


@dataclass(frozen=True)
class Row:
    """A check, how it is broken, what it says; `given` is done to the healthy robot as well."""

    id: str
    breaks: Breakage
    said: str
    level: str = "fail"
    given: Breakage = nothing


MONITOR = all_of(
    secret("monitor-key", f"acto_a-third-key-that-samples-proofs\nfor prod {COLLECTOR}\n"),
    setting(collector__monitor_api_key_file="credential:monitor-key"),
)
NOBODYS = free_port()
OTHER_CONF = "etc/mosquitto/conf.d/other.conf"
TO_ROOT = "Uid:\t0\t0\t0\t0"
BROKEN = (
    Row("configuration-valid", setting(routes__0__topic="uagv/v2/#/x"), "routes.topic: expected"),
    Row("configuration-secrets", a_secret_in_a_comment, "line 1: looks like a secret (git_token)"),
    Row("configuration-files", configuration_open, "mode 0666: others can change it"),
    Row("environment", lambda each: void((each.state / "environment").write_text("dev")), "expected 'dev', in which"),
    Row("limits", setting(collector__requests_per_second=9.0), "the server allows 5", "warn"),
    Row("masking", setting(routes__0__mask="secrets-only"), "route vda masks secrets only", "warn"),
    Row(
        "masking",
        setting(masking__rules=[{"operator": "keep", "type": "email", "path": "/mail"}]),
        "a rule keeps email at /mail (vda strict; of made-up messages 0.02 % of the values leak)",
        "warn",
    ),
    Row("device-id", setting(device__id="amr-7"), "each robot with this file has the same", "warn"),
    Row("machine-id", machine_id_of_an_image, "'uninitialized'"),
    Row("secret-api-key", secret("api-key", "acto_key"), "one that does not say what it is for"),
    Row("secret-wallet", secret("wallet", ""), "which is empty"),
    Row("secret-pin", mode("credentials/token-pin", 0o604), "mode 0604", given=signer_of_the_daemon),
    Row("secret-broker", mode("credentials/broker-password", 0o606), "mode 0606"),
    Row("secret-scopes", one_key_for_everything, "another key than collector.api_key_file"),
    Row("secret-client-keys", mode("credentials/client-key", 0o604), "mode 0604"),
    Row("secret-links", wallet_is_a_link, "is a link to", given=plain_wallet),
    Row("secret-source", plain_wallet, "collector.wallet_file: plain files", "warn"),
    Row("secret-folders", mode("root/etc/actod/credentials", 0o755), "mode 0755: others see what lies there"),
    Row("secret-sealing", sealed_to_the_host_alone, "encrypted to host alone, on a disk that is not encrypted"),
    Row("token-answers", token_away, "token_absent"),
    Row("token-hardware", signer_away, "token_software", given=software_beside),
    Row("token-storage", mode("root/var/lib/actod-token", 0o755), "others can copy the token's files"),
    Row("tpm-device", mode("root/dev/tpmrm0", 0o666), "mode 0666: every user can try PINs"),
    Row("tpm-lockout", near_a_lockout, "failures of", "warn"),
    Row("key-age", key_of_last_year, "of 365 days", "warn"),
    Row("broker-answers", setting(mqtt__port=NOBODYS), "unreachable", given=written(OTHER_CONF, f"listener {NOBODYS}\n")),
    Row("broker-tls", setting(mqtt__tls=False), "cross the network unencrypted", given=elsewhere),
    Row("broker-login", setting(mqtt__username=None), "takes whoever comes", given=elsewhere),
    Row("broker-inflight", replaced(ROBOT_CONF, "max_inflight_messages 200", ""), "20 messages in flight", "warn"),
    Row(
        "broker-queue",
        replaced(ROBOT_CONF, "max_queued_messages 100000", ""),
        "full after 10 s of absence at 100.0 messages a second (a guess: none was seen yet), 10 s at 100",
        "warn",
    ),
    Row("broker-store", replaced(ROBOT_CONF, "persistence true", "persistence false"), "it has no store"),
    Row(
        "broker-store",
        lambda each: each.mount(each.root / "var/lib/mosquitto", "ext4", "/dev/null"),
        "not encrypted: raw messages lie there while actod is away, while what is masked is encrypted",
    ),
    Row("broker-packet-size", replaced(ROBOT_CONF, "max_packet_size 1048576", "max_packet_size 4096"), "4096 B", "warn"),
    Row("collector-url", setting(collector__url=f"http://{COLLECTOR}"), "expected an https:// URL"),
    Row("pins", lambda each: void(each.config["collector"]["pins"].pop()), "at least two different pins"),
    Row("collector-answers", setting(collector__proxy=f"http://127.0.0.1:{free_port()}"), "unreachable"),
    Row("pin-backup", every_pin_is_of_the_chain, "none is left when its keys must go"),
    Row("pin-set", pin_set(days=9), "nothing is sent after that", given=pin_set(days=300)),
    Row("certificate", certificate_ends, "certificate 0 ends on"),
    Row("client-certificates", client_certificate_ends, "ending-client.pem: certificate 0 ends on"),
    Row("disk-lasting", mounted_on("tmpfs", "tmpfs"), "a power cut empties it"),
    Row("disk-writable", mounted_on("ext4", "/dev/mapper/none", "ro"), "mounted read-only"),
    Row("disk-encryption", mounted_on("ext4", "/dev/null"), "not encrypted"),
    Row("disk-space", setting(store__max_bytes=1 << 50), "store.max_bytes wants"),
    Row("disk-inodes", disk_without_inodes, "room for 4"),
    Row("disk-wear", written("sys/devices/mmcblk0/device/life_time", "0x0b 0x01\n"), "100 % of its life", "warn"),
    Row("disk-wear", written("sys/devices/mmcblk0/device/pre_eol_info", "0x02\n"), "level 2 of 3", "warn"),
    Row("state-folder", mode("state", 0o755), "mode 0755"),
    Row("state-files", mode("state/environment", 0o644), "mode 0644"),
    Row("store-whole", store_is_none, "damaged"),
    Row("quarantine", bundle_set_aside, "1 bundles are set aside", "warn"),
    Row("queue-age", message_of_last_week, "waited for 168 hours", "warn"),
    Row("queue-share", queue_nearly_full, "% of the queue's share"),
    Row("losses", messages_were_refused, "rate_limited 41", "warn"),
    Row("audit-log", audit_line_changed, ": edited: the hash"),
    Row("exports", setting(masking__operator_key=None), "no masking.operator_key", "warn"),
    Row("clock", option(clock=SetClock(synchronised=False)), "not synchronised", "warn"),
    Row(
        "time-service",
        unlinked("etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service"),
        "no service that sets the clock",
        "warn",
    ),
    Row("swap", replaced("proc/swaps", "/dev/zram0", "/dev/sda2"), "/dev/sda2 is not encrypted", given=no_units),
    Row("core-dumps", written("proc/sys/kernel/core_pattern", "core\n"), "core files go to 'core'", given=no_units),
    Row(
        "versions",
        all_of(
            unlinked("usr/lib/systemd/libsystemd-shared-252.so"),
            written("usr/lib/systemd/libsystemd-shared-249.so", ""),
        ),
        "systemd 249 is older than 250",
    ),
    Row("daemon-user", written("proc/812/status", f"Name:\tactod\n{TO_ROOT}\n"), "process 812 (actod run) runs as root"),
    Row("group-members", replaced("etc/group", "997:actod", "997:actod,pi"), "pi is in the group actod-signer"),
    Row("group-members", replaced("etc/passwd", "root:x:0:0", "pi:x:5:998::/:\nroot:x:0:0"), "pi is in the group actod"),
    Row("unit-installed", no_units, "actod.service and actod-signer.service not installed", "warn"),
    Row("unit-daemon", drop_in("actod", "ProtectSystem=full"), "ProtectSystem=full"),
    Row("unit-daemon", drop_in("actod", "SystemCallFilter=@mount"), "SystemCallFilter=@mount"),
    Row(
        "unit-signer", drop_in("actod-signer", "RestrictAddressFamilies=AF_INET"), "RestrictAddressFamilies=AF_INET AF_UNIX"
    ),
    Row("unit-signer", drop_in("actod-signer", "SystemCallFilter=", "SystemCallFilter=@system-service"), "without ~@aio"),
    Row("unit-restart", drop_in("actod", "Restart=no"), "Restart=no, not always"),
    Row("unit-enabled", unlinked("etc/systemd/system/multi-user.target.wants/actod.service"), "does not start at boot"),
    Row("egress", unlinked(SITE_CONF), "may reach every address", "warn"),
    Row("daemon", setting(control__socket="/nonexistent/c.sock"), "no actod runs", "warn"),
    Row("daemon-version", says(version="0.0.9"), "actod 0.0.9 runs", "warn"),
    Row("intake", says(intake="intake:full"), "intake:full"),
    Row("sealing", says(sealing_waits_for="token_absent"), "waits for the token: token_absent"),
    Row("submission", says(uplink="blocked:pin"), "blocked:pin"),
    Row("credential-age", credential_of_last_quarter, "40 of 30 days", "warn", given=credential_of_yesterday),
    Row("alerts", setting(alerts=None), "nobody is told", "warn"),
    Row("alert-channels", secret("alert-url", "http://hooks.example/x"), "https"),
    Row("monitoring", setting(fleet=None), "nobody sees", "warn", given=MONITOR),
)


def test_of_a_healthy_robot_each_check_is_ok_or_has_nothing_to_ask(robot: Robot, tmp_path: Path) -> None:
    with case(robot, tmp_path) as each:
        lines = each.lines()
    assert list(lines) == list(CHECKS)
    assert {line for line in lines.values() if line.level in {"warn", "fail"}} == set()
    skipped = {name for name, line in lines.items() if line.level == "skip"}
    assert skipped <= {"secret-pin", "pin-set", "credential-age"}


def test_each_check_has_a_fixture_that_breaks_it() -> None:
    assert {row.id for row in BROKEN} == set(CHECKS)
    assert {check.mend.split()[0] for _group, check in CHECKS.values()} <= PROGRAMS


@pytest.mark.parametrize("row", BROKEN, ids=[f"{row.id}: {row.said}" for row in BROKEN])
def test_what_is_broken_is_named_by_its_own_check_alone(
    robot: Robot, healthy: Mapping[str, Line], tmp_path: Path, row: Row
) -> None:
    with case(robot, tmp_path) as each, contextlib.ExitStack() as stack:
        before = healthy
        if row.given is not nothing:
            do(row.given, each, stack)
            before = each.lines()
        do(row.breaks, each, stack)
        lines = each.lines()
    line = lines[row.id]
    assert before[row.id].level in {"ok", "skip"}
    assert (line.level, row.said in line.detail) == (row.level, True), line
    assert line.remedy.split()[0] in PROGRAMS
    assert not_asked(lines) - not_asked(before) == dependents(row.id) & set(lines)
    changed = {name for name in lines if lines[name].level != before[name].level} - not_asked(lines)
    assert changed == {row.id}, [lines[name] for name in changed]
    for text in (each.robot.rig.api_key, each.robot.rig.token.pin, "correct horse"):
        assert text not in repr(lines)


def not_asked(lines: Mapping[str, Line]) -> set[str]:
    return {name for name, line in lines.items() if line.detail.startswith("not asked: see ")}


def dependents(name: str) -> set[str]:
    """Return the checks that cannot be asked without one, directly or not."""
    found = {name}
    for other, (_group, check) in CHECKS.items():
        if found & set(check.needs):
            found.add(other)
    return found - {name}
