"""`actod maintenance` on a robot whose parts are all real: what it finds, whom it tells, and when it is overdue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actod import configfile
from actod.audit.log import AuditLog
from actod.cli.rounds import weekly
from actod.cli.rounds.monthly import PROBES, STEPS
from actod.cli.rounds.quarterly import REMINDERS
from actod.cli.rounds.step import Round, Step, taken
from actod.config import AuditConfig, MaskRuleConfig
from actod.service.maintenance import FILE, LIMIT_DAYS, Run, note_run, read_runs, standing
from hil.parts.background import serving
from hil.rig import ROOT, Rig, build, wait_for, write_config
from hil.soak import SETTINGS
from tests.docs.page import Page
from tests.submit.parts import FakeClock

DAY_NS = 86_400 * 10**9


@dataclass
class Webhook:
    """A real HTTPS server that takes alerts, or refuses them."""

    certificate: Any
    status: int = 200
    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def listen(self) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.cert_file, self.certificate.key_file)
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self.bodies.append(json.loads(await reader.readexactly(length)))
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % self.status)
            await writer.drain()
        writer.close()

    def kinds(self) -> list[str]:
        """Return the kinds of alert that came."""
        return [body["alert"] for body in self.bodies]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Webhook]]:
    """Make a robot that runs, with a channel of alerts."""
    with build(tmp_path_factory.mktemp("maintained") / "r", settings=SETTINGS) as rig:
        webhook = Webhook(rig.authority.issue("webhook"))
        with serving(webhook.listen, name="webhook"):
            url, ca = rig.folder / "alert-url", json.dumps(str(rig.authority.ca_file))
            url.write_text(f"https://127.0.0.1:{webhook.port}/hook\n")
            url.chmod(0o600)
            channel = f'name = "ops"\nurl_file = "alert-url"\nsecret_file = "alert-secret"\nca_file = {ca}\n'
            write_config(rig, settings=f"{SETTINGS}\n[[alerts]]\n{channel}")
            secret = rig.folder / "alert-secret"
            secret.write_text("a-secret-that-signs\n")
            secret.chmod(0o600)
            rig.actod.start()
            wait_for(rig.envelopes, what="the first bundle")
            yield rig, webhook


def made(rig: Rig, kind: str, *, code: int) -> dict[str, dict[str, Any]]:
    """Make a round; return its lines by id, the worst of each."""
    done = rig.tool("maintenance", kind, "--json", "--config", str(rig.config_file))
    assert done.returncode == code, done.stdout + done.stderr
    worst: dict[str, dict[str, Any]] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        if line["id"] not in worst or line["level"] == "fail":
            worst[line["id"]] = line
    return worst


def told(rig: Rig) -> dict[str, Any]:
    """Return what the status says of maintenance."""
    facts: dict[str, Any] = json.loads(rig.tool("status", "--json", "--config", str(rig.config_file), check=True).stdout)
    return facts["maintenance"]


def audited(rig: Rig) -> list[dict[str, Any]]:
    """Return what the audit log says of it."""
    shown = rig.tool("audit", "show", "--event", "maintenance.", "--json", "--config", str(rig.config_file), check=True)
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_each_round_looks_at_what_it_should_and_its_result_is_in_status_and_audit_log(site: tuple[Rig, Webhook]) -> None:
    rig, webhook = site
    assert {kind: run["result"] for kind, run in told(rig).items()} == dict.fromkeys(LIMIT_DAYS, "never")
    lines = made(rig, "quarterly", code=0)
    for name in (
        "audit",
        "store",
        "export",
        "limits-met",
        "access",
        "certificates",
        "credentials",
        "alert-test",
        "masking-test",
    ):
        assert lines[name]["level"] == "ok", lines[name]
    assert {name for name, line in lines.items() if line["level"] == "ask"} == set(REMINDERS)
    assert webhook.kinds() == ["test"]
    assert webhook.bodies[0]["device"].startswith("d-"), "by the daemon, which knows the robot's id"
    assert told(rig)["quarterly"]["result"] in {"ok", "warn"}
    (line,) = audited(rig)
    assert (line["kind"], line["failed"], line["asked"]) == ("quarterly", [], list(REMINDERS))
    assert (
        "maintenance weekly never; monthly never; quarterly " in rig.tool("status", "--config", str(rig.config_file)).stdout
    )


def test_what_fails_is_named_and_is_an_alert_and_what_was_mended_is_not_any_more(site: tuple[Rig, Webhook]) -> None:
    rig, webhook = site
    (log,) = (rig.state / "audit").glob("audit-*.jsonl")
    place = log.read_bytes().index(b"daemon.started")
    with log.open("r+b") as file:
        file.seek(place)
        file.write(b"daemon.stirred")
        file.flush()
        lines = made(rig, "weekly", code=1)
        assert {name for name, line in lines.items() if line["level"] == "fail"} == {"audit", "store"}
        assert (told(rig)["weekly"]["result"], told(rig)["weekly"]["failed"]) == ("fail", ["audit", "store"])
        wait_for(lambda: webhook.kinds()[-1] == "maintenance", what="the alert")
        assert webhook.bodies[-1]["facts"] == {"kind": "weekly"}
        file.seek(place)
        file.write(b"daemon.started")
    webhook.status = 500
    (step,) = [step for step in STEPS if step.id == "alert-test"]
    (result,) = taken(step, Round(configfile.load(rig.config_file), rig.config_file, "monthly"))
    assert (result.level, result.detail) == ("fail", "not delivered: ops (status_500)")
    webhook.status = 200


def test_a_lock_for_an_incident_and_its_end_are_alerts_at_once(site: tuple[Rig, Webhook]) -> None:
    rig, webhook = site
    for action in ("lock", "unlock"):
        rig.tool("incident", action, "--reason", "exercise", "--config", str(rig.config_file), check=True)
        wait_for(lambda kind=f"incident_{action}": kind in webhook.kinds(), what="the alert")
    assert webhook.bodies[-1]["facts"] == {"reason": "exercise"}


def test_without_a_daemon_a_round_is_made_and_noted_all_the_same(site: tuple[Rig, Webhook]) -> None:
    rig, _webhook = site
    assert rig.actod.stop() == 0
    before = len(audited(rig))
    typed = (
        f'actod() {{ "{sys.executable}" -m actod "$@" --config "{rig.config_file}"; }}\n'
        + Page("docs/maintenance.md").take("weekly").text
    )
    done = subprocess.run(
        ["bash", "-ec", typed], cwd=ROOT, env=rig.actod.environment, capture_output=True, text=True, check=True
    )
    assert "\nwarn  credentials: not known: daemon_away" in done.stdout
    assert len(audited(rig)) == before + 1
    rig.actod.start()
    wait_for((rig.state / "run" / "control.sock").exists, what="the daemon")
    assert told(rig)["weekly"]["result"] == "warn"
    assert told(rig)["weekly"]["overdue"] is False
    assert rig.tool("audit", "verify", "--config", str(rig.config_file)).returncode == 0


def test_what_is_overdue_is_said_by_clocks_that_can_be_trusted_alone(tmp_path: Path) -> None:
    clock = FakeClock()
    note_run(tmp_path, "weekly", Run.ended(clock, failed=[], warned=["limits"], asked=[]))
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600

    def overdue() -> tuple[bool, float | None]:
        found = standing(tmp_path, clock)["weekly"]
        return found["overdue"], found["age_days"]

    clock.advance(9.5 * 86_400)
    clock.is_synchronised = False
    assert overdue() == (True, 9.5), "of one boot: by its own clock, whatever the wall clock says"
    other = replace(read_runs(tmp_path)["weekly"], boot_id="another")
    note_run(tmp_path, "weekly", other)
    assert overdue() == (False, None), "nobody can say"
    clock.is_synchronised = True
    assert overdue() == (True, 9.5)
    note_run(tmp_path, "weekly", replace(other, synchronised=False))
    assert overdue() == (False, None)
    (tmp_path / FILE).write_bytes(b"{")
    assert standing(tmp_path, clock)["weekly"]["result"] == "never"


def test_rounds_that_end_at_one_moment_are_all_kept(tmp_path: Path) -> None:
    clock, kinds = FakeClock(), list(LIMIT_DAYS)
    for number in range(20):
        run = Run.ended(clock, failed=[str(number)], warned=[], asked=[])
        with ThreadPoolExecutor(len(kinds)) as pool:
            list(pool.map(partial(note_run, tmp_path, run=run), kinds))
        assert {kind: kept.failed for kind, kept in read_runs(tmp_path).items()} == dict.fromkeys(kinds, run.failed)


def test_limits_that_were_met_and_callers_that_were_refused_are_named_since_the_last_round(
    site: tuple[Rig, Webhook], tmp_path: Path
) -> None:
    config = replace(configfile.load(site[0].config_file), state_directory=tmp_path)
    round_ = Round(config, site[0].config_file, "weekly")
    log = AuditLog(tmp_path / "audit", clock=FakeClock(), config=AuditConfig())
    log.record("refused", reason="flood_brake", route="old", count=9)
    log.record("maintenance.done", kind="weekly", result="ok")
    log.record("refused", reason="flood_brake", route="joints", count=3)
    log.record("refused", reason="not_json", route="joints", count=4)
    log.record("access.denied", where="control", uid=1000)
    log.record("certificate.ends_soon", days=9)
    log.close()
    steps = {step.id: step for step in weekly.STEPS}
    found = {name: taken(steps[name], round_)[0] for name in ("limits-met", "access", "certificates")}
    assert {result.level for result in found.values()} == {"warn"}
    assert found["limits-met"].detail == "3 messages of joints (flood_brake)"
    assert found["access"].detail == "refused: 1 times at control"
    assert taken(steps["limits-met"], replace(round_, kind="monthly"))[0].detail.startswith("9 messages of old")


def test_the_masking_test_finds_what_a_rule_lets_through_and_each_probe_can_be_missed(site: tuple[Rig, Webhook]) -> None:
    config = configfile.load(site[0].config_file)
    (step,) = [step for step in STEPS if step.id == "masking-test"]

    def result(*rules: MaskRuleConfig) -> tuple[str, str]:
        found = taken(
            step, Round(replace(config, masking=replace(config.masking, rules=list(rules))), site[0].config_file, "monthly")
        )
        return found[0].level, found[0].detail

    assert result() == ("ok", f"{len(PROBES)} probes, each was masked")
    assert result(MaskRuleConfig(operator="keep", type="mac")) == ("warn", "rules let through: mac")
    all_kept = [MaskRuleConfig(operator="keep", path=path) for path in ("/note", "/latitude", "/password")]
    assert result(*all_kept) == ("warn", "rules let through: " + ", ".join(kind for kind, _name, _value in PROBES))


def test_a_step_that_hangs_or_breaks_fails_alone(site: tuple[Rig, Webhook]) -> None:
    round_ = Round(configfile.load(site[0].config_file), site[0].config_file, "weekly")

    def hang(_round: Round) -> Iterator[Any]:
        threading.Event().wait(5)
        yield

    def fail(_round: Round) -> Iterator[Any]:
        raise RuntimeError("text")
        yield

    assert taken(Step("hangs", hang, "mend", 0.05), round_)[0].detail == "no end within 0.05 s"
    assert taken(Step("breaks", fail, "mend"), round_)[0].detail == "a defect of this step: RuntimeError"
