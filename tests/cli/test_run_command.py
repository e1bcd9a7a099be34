"""`actod run`: what it refuses before anything is made, what it loads, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.parts.scan import forms
from hil.rig import ROOT, Rig, build, wait_for
from tests.cli.conftest import configure

PIN = "sha256/" + "C" * 42 + "A="


@pytest.fixture
def own_rig(tmp_path: Path) -> Iterator[Rig]:
    """Make a rig for one test, in which nothing has run."""
    with build(tmp_path / "rig", settings="[seal]\nmax_age_seconds = 0.2\n") as rig:
        yield rig


def audit_lines(rig: Rig) -> list[dict[str, Any]]:
    folder = rig.state / "audit"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


REFUSED = [
    # text in the configuration, what stands there instead, the key and what is said
    ('pins = ["', f'pins = ["{PIN}"]\n#', "collector.pins", "at least two different pins"),
    ('pins = ["', f'pins = ["{PIN}", "{PIN}"]\n#', "collector.pins", "at least two different pins"),
    ('pins = ["', f'pins = ["{PIN}", "sha256/abc"]\n#', "collector.pins", "sha256/<base64"),
    ('url = "https:', 'url = "http:', "collector.url", "https://"),
    ('url = "https://', 'url = "https://user:1234-secret@', "collector.url", "no credentials"),
    ("ca_file = ", 'ca_file = "none.pem"\n#', "collector.ca_file", "readable PEM"),
    ("[mqtt]\n", "[mqtt]\ntls = true\nca_file = 'none.pem'\n", "mqtt.ca_file", "readable PEM"),
    ("[mqtt]\n", "[mqtt]\nusername = 'u'\npassword_file = 'none'\n", "mqtt.password_file", "a file that we can read"),
    ("?module-path", "?pin-value=1234-secret&module-path", "token.uri", "no PIN in the URI"),
    ('topic = "site/#"', 'topic = "site/#/x"', "routes.topic", "expected"),
    ('name = "site"', 'name = "sensors"', "routes.name", "a name of its own"),
    ("[mqtt]\n", "[mqtt]\nhots = 'x'\n", "mqtt.hots", "did you mean host?"),
    ("[mqtt]\n", "[mqtt]\npassword = '1234-secret'\n", "mqtt.password", "password_file"),
]


# A dry run refuses what a run refuses: one of each module that refuses shows it.
BOTH = [
    (options, *row)
    for row in REFUSED
    for options in ("--dry-run", "")
    if options or row[2] in {"collector.url", "token.uri"}
]


@pytest.mark.parametrize(("option", "old", "new", "key", "said"), [*BOTH, ("", *REFUSED[0])])
def test_a_configuration_that_is_refused_is_78_names_file_and_key_and_makes_nothing(
    rig: Rig, tmp_path: Path, option: str, old: str, new: str, key: str, said: str
) -> None:
    file = configure(rig, **{json.dumps(str(rig.state)): json.dumps(str(tmp_path / "state")), old: new})
    done = rig.tool("run", *filter(None, [option]), "--config", str(file))
    configure(rig)
    assert (done.returncode, done.stdout) == (78, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"actod run: config: {file}: {key}: expected ")
    assert said in line
    assert "Fix: " in line
    assert "1234-secret" not in line
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("name", "key"),
    [("api-key", "collector.api_key_file"), ("wallet", "collector.wallet_file"), ("token/pin", "token.pin_file")],
)
@pytest.mark.parametrize("spoiled", ["open", "empty"])
def test_a_secret_that_is_open_or_empty_is_refused_at_start(rig: Rig, name: str, key: str, spoiled: str) -> None:
    file = rig.folder / name
    kept = file.read_text()
    if spoiled == "open":
        file.chmod(0o604)
    else:
        file.write_text("\n")
    try:
        done = rig.tool("run", "--config", str(rig.config_file))
        assert done.returncode == 78
        assert f"{rig.config_file}: {key}: expected " in done.stderr
        assert ("chmod 600" if spoiled == "open" else "write the secret") in done.stderr
        assert kept not in done.stderr
    finally:
        file.write_text(kept)
        file.chmod(0o600)


def test_a_dry_run_says_what_would_run_and_makes_nothing(rig: Rig, tmp_path: Path) -> None:
    file = configure(rig, **{json.dumps(str(rig.state)): json.dumps(str(tmp_path / "state"))})
    done = rig.tool("run", "--dry-run", "--config", str(file))
    configure(rig)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("environment    dev", "with 2 pins", "uagv/v2/+/+/+ at QoS 1", "configuration  sha256 "):
        assert word in done.stdout
    assert not (tmp_path / "state").exists()


def test_a_second_daemon_on_the_folder_is_75_and_a_folder_that_is_open_78(own_rig: Rig) -> None:
    own_rig.state.mkdir(mode=0o755)
    done = own_rig.tool("run", "--config", str(own_rig.config_file))
    assert (done.returncode, "chmod 700" in done.stderr) == (78, True)
    own_rig.state.chmod(0o700)
    own_rig.actod.start()
    wait_for(own_rig.witness.subscribed, what="the subscription")
    done = own_rig.tool("run", "--config", str(own_rig.config_file))
    assert done.returncode == 75
    assert "Traceback" not in done.stderr
    assert own_rig.actod.stop() == 0


def test_the_running_daemon_has_loaded_what_it_uses_and_holds_no_secret_in_sight(own_rig: Rig) -> None:
    own_rig.actod.environment["PYTHONPROFILEIMPORTTIME"] = "1"  # daemon and signer name each module as it is loaded
    own_rig.actod.start()
    wait_for(own_rig.envelopes, what="the first bundle")
    pids = [own_rig.actod.pid(), wait_for(own_rig.actod.signer_pid)]
    maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids)
    seen = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for pid in pids for name in ("environ", "cmdline"))
    daemons_maps = Path(f"/proc/{pids[0]}/maps").read_text()
    assert own_rig.actod.stop() == 0
    log = own_rig.actod.log_file.read_text()
    loaded = {line.rpartition("|")[2].strip() for line in log.splitlines() if "import time:" in line}
    assert {"httpx", "paho.mqtt.client", "pkcs11", "actod.pipeline", "structlog.dev"} <= loaded
    unused = ("rich.", "click.", "pygments.", "typer", "cryptography", "psutil", "blake3", "hypothesis", "pytest")
    assert {name for name in loaded if name.startswith(unused)} == set()
    assert [word for word in ("cryptography", "psutil", "blake3") if word in maps] == []
    assert "pkcs11" not in daemons_maps
    assert "softhsm" not in daemons_maps
    for secret in (own_rig.api_key, own_rig.token.pin, (own_rig.folder / "wallet").read_text()):
        assert [name for pattern, name in forms(secret).items() if pattern in seen + log.encode()] == []


def test_a_software_token_in_prod_collects_and_seals_nothing_until_it_is_allowed(own_rig: Rig) -> None:
    text = own_rig.config_file.read_text().replace('"dev"', '"prod"').replace("127.0.0.1:", "collector.invalid:")
    text += "\n[store]\nallow_volatile = true\n"  # the test's folder may lie in a container
    own_rig.config_file.write_text(text)
    (own_rig.folder / "api-key").write_text(f"{own_rig.api_key}\nfor prod collector.invalid\n")
    own_rig.actod.start()
    wait_for(lambda: [line for line in audit_lines(own_rig) if line["event"] == "seal.waiting"], what="a sealer that waits")
    wait_for(
        lambda: [line for line in audit_lines(own_rig) if line.get("reason") == "token_software"], what="the token's refusal"
    )
    status = json.loads(own_rig.tool("queue", "list", "--json", "--state", str(own_rig.state)).stdout)["status"]
    assert (status["outbox_bundles"], status["sealed"]) == (0, 0)
    assert status["journal_messages"] > 0
    assert own_rig.actod.stop() == 0
    own_rig.config_file.write_text(text.replace("[token]\n", "[token]\nallow_software_token_in_prod = true\n"))
    own_rig.actod.start()
    wait_for(lambda: [line for line in audit_lines(own_rig) if line["event"] == "key.used"], what="a key in use")
    assert own_rig.actod.stop() == 0


def test_ctrl_c_at_the_terminal_is_an_orderly_stop_and_the_signer_stays_to_the_end(own_rig: Rig) -> None:
    with own_rig.actod.log_file.open("ab") as log:
        process = subprocess.Popen(
            ["env", "--default-signal=INT", sys.executable, "-m", "actod", "run", "--config", str(own_rig.config_file)],
            env=own_rig.actod.environment,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(own_rig.envelopes, what="the first bundle")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)
    events = [line["event"] for line in audit_lines(own_rig)]
    assert events[-1] == "daemon.stopped"
    assert "signer.ended" not in events
    assert "Traceback" not in own_rig.actod.log_file.read_text()
