"""`actod check` as its user runs it: text, JSON, what is chosen and left out, exit codes; and what stops no other check."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actod import configfile
from actod.cli.checks.check import Check, Finding, ok
from actod.cli.checks.configuration import MEASURED
from actod.cli.checks.registry import CHECKS, finding_of
from actod.cli.checks.site import Site
from actod.service.clock import SystemClock
from hil.parts.broker import Broker
from hil.parts.certificates import CertificateAuthority
from hil.rig import ROOT, Rig, wait_for
from tests.cli.conftest import configure


def check(rig: Rig, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Run the command; return its exit code and its lines by id."""
    done = rig.tool("check", "--json", "--config", str(rig.config_file), *options)
    assert "Traceback" not in done.stderr
    assert "is started again" not in done.stderr + done.stdout  # the lines say it all
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for secret in (rig.api_key, rig.token.pin):
        assert secret not in done.stdout + done.stderr
    return done.returncode, {line["id"]: line for line in lines}


def test_each_line_says_what_was_seen_and_each_that_is_not_ok_what_mends_it(rig: Rig) -> None:
    done = rig.tool("check", "--config", str(rig.config_file))
    *said, counted = done.stdout.splitlines()
    lines = [line for line in said if not line.startswith("       mend: ")]
    assert [line[6:].partition(":")[0] for line in lines] == list(CHECKS)
    assert {line[:4].strip() for line in lines} <= {"ok", "warn", "skip", "fail"}
    levels = [line[:4].strip() for line in lines]
    assert counted == ", ".join(f"{levels.count(level)} {level}" for level in ("ok", "warn", "fail", "skip"))
    assert len(said) - len(lines) == sum(line.startswith(("warn", "fail")) for line in lines)
    assert done.returncode == any(line.startswith("fail") for line in lines)
    _, by_id = check(rig)
    assert "software key " in by_id["token-answers"]["detail"]
    assert "accepts MQTT 5" in by_id["broker-answers"]["detail"]
    assert "under a pinned key" in by_id["collector-answers"]["detail"]
    assert by_id["token-answers"]["group"] == "token"


def test_only_what_is_named_is_looked_at_and_offline_leaves_out_what_needs_a_network(rig: Rig) -> None:
    _, lines = check(rig, "--only", "broker", "--only", "key-age")
    assert {line["group"] for name, line in lines.items() if name != "key-age"} == {"broker"}
    assert list(lines) == [name for name, (group, _check) in CHECKS.items() if group == "broker" or name == "key-age"]
    _, lines = check(rig, "--offline", "--only", "broker", "--only", "collector")
    assert set(lines).isdisjoint({"broker-answers", "collector-answers", "pin-backup", "certificate"})
    assert "pins" in lines


def test_a_check_that_there_is_not_is_wrong_usage_and_those_that_there_are_are_named(rig: Rig) -> None:
    done = rig.tool("check", "--only", "brokers", "--config", str(rig.config_file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "'brokers'" in done.stderr
    assert all(name in done.stderr for name in CHECKS)


def test_no_check_is_called_like_a_group() -> None:
    assert set(CHECKS).isdisjoint({group for group, _check in CHECKS.values()})


def test_the_list_needs_no_configuration_and_makes_no_check(rig: Rig, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.toml")
    done = rig.tool("check", "--list", "--only", "store", "--config", nowhere)
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        [group, name] for name, (group, _check) in CHECKS.items() if group == "store"
    ]
    listed = [json.loads(line) for line in rig.tool("check", "--list", "--json").stdout.splitlines()]
    assert [each["id"] for each in listed] == list(CHECKS)


@pytest.mark.parametrize(
    ("old", "new", "id_", "said", "code"),
    [
        ('"site/#"', '"site/#/x"', "configuration-valid", "routes.topic: expected", 78),
        ('uri = "pkcs11:', 'uri = "pkcs11:object=o"\n#', "configuration-valid", "token.uri: expected module-path", 78),
        ("object=actod-ed25519", "object=other", "token-answers", "key_count", 1),
        ("", "", "", "", 0),
    ],
)
def test_the_exit_code_tells_a_failure_from_a_configuration_that_no_daemon_would_take(
    rig: Rig, old: str, new: str, id_: str, said: str, code: int
) -> None:
    configure(rig, **({old: new} if id_ else {}))
    done, lines = check(rig, "--offline", "--only", "configuration", "--only", "token")
    configure(rig)
    assert done == code
    assert {name for name, line in lines.items() if line["level"] == "fail"} == ({id_} if id_ else set())
    if id_:
        assert said in lines[id_]["detail"]


def test_a_brokers_wrong_authority_is_told_from_a_broker_that_is_away(rig: Rig) -> None:
    other = CertificateAuthority.make(rig.folder / "other-ca", name="another CA")
    tls = Broker(rig.folder / "tls-broker", certificate=rig.authority.issue("broker"))
    tls.start()
    settings = f"port = {tls.port}\ntls = true\nca_file = {json.dumps(str(other.ca_file))}\n"
    configure(rig, **{f"port = {rig.broker.port}\n": settings})
    _, lines = check(rig, "--only", "broker-answers")
    tls.stop()
    _, away = check(rig, "--only", "broker-answers")
    configure(rig)
    assert "certificate_refused" in lines["broker-answers"]["detail"]
    assert "mqtt.ca_file must hold its CA" in lines["broker-answers"]["remedy"]
    assert "unreachable" in away["broker-answers"]["detail"]


def test_a_robot_that_never_ran_is_checked_without_leaving_a_trace(rig: Rig, tmp_path: Path) -> None:
    configure(rig, **{json.dumps(str(rig.state)): json.dumps(str(tmp_path / "fresh" / "state"))})
    code, lines = check(rig)
    configure(rig)
    assert (lines["state-folder"]["level"], lines["token-answers"]["level"]) == ("warn", "ok")
    assert (code, {name for name, line in lines.items() if line["level"] == "fail"}) == (0, set())
    assert not (tmp_path / "fresh").exists()
    assert list((rig.folder / "tmp").iterdir()) == []


def test_a_running_daemons_own_signer_is_asked_and_no_second_one_started(rig: Rig) -> None:
    def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(rig.state / "run" / "signer.sock")) == 0

    def ask() -> str:
        done = rig.tool("check", "--only", "token-answers", "--config", str(rig.config_file))
        assert "ok    token-answers: software key" in done.stdout
        return done.stderr

    assert "The signer listens." in ask()  # one of its own, whose log is seen
    rig.actod.start()
    try:
        wait_for(listens, what="the signer's socket")
        assert ask() == ""
    finally:
        assert rig.actod.stop() == 0


def test_a_check_that_hangs_or_breaks_is_a_line_like_any_other(rig: Rig) -> None:
    released = threading.Event()

    def hangs(_site: Site) -> Finding:
        released.wait()
        return ok("late")

    def breaks(_site: Site) -> Finding:
        raise KeyError(rig.api_key)

    site = Site(configfile.load(rig.config_file), rig.config_file, root=Path("/"), clock=SystemClock(), offline=True)
    for run, said in ((hangs, "no answer within 0.05 s"), (breaks, "a defect of this check: KeyError")):
        each = Check(id="x", looks_at="nothing", run=run, mend="true", limit_seconds=0.05)
        assert finding_of(each, site) == Finding("trouble", said)
    released.set()


def test_the_page_is_what_the_registry_says() -> None:
    made = subprocess.run([sys.executable, ROOT / "docs/check.py"], check=True, capture_output=True, text=True)
    page = ROOT / "docs/check.md"
    assert page.read_text(encoding="utf-8") == made.stdout, f"python docs/check.py > {page.relative_to(ROOT)}"
    assert f"{len(CHECKS)} checks" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"`actod check` has {len(CHECKS)} checks" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"| the first | {MEASURED} |" in (ROOT / "docs/masking.md").read_text(encoding="utf-8")
