"""`actod why` without a daemon: what store and audit log say of the end."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

from actod.audit.log import AuditLog
from actod.config import AuditConfig
from tests.store.parts import HandClock, RememberedLog, group, open_store, sealed

CONFIG = """environment = "dev"
state_directory = {state}
[token]
uri = "pkcs11:token=t;object=k?module-path=/none"
pin_file = {pin}
[collector]
url = "https://collector.example"
pins = ["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "sha256/BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="]
api_key_file = {pin}
[[routes]]
name = "all"
topic = "robot/#"
"""


def test_why_tells_without_a_daemon_how_things_stood(tmp_path: Path) -> None:
    pin = tmp_path / "pin"
    pin.touch(mode=0o600)
    pin.write_text("1234", encoding="ascii")
    config, state = tmp_path / "actod.toml", tmp_path / "state"
    config.write_text(CONFIG.format(state=json.dumps(str(state)), pin=json.dumps(str(pin))), encoding="utf-8")

    def why() -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "actod", "why", "--config", str(config)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    assert why().stdout == f"actod does not run, start it: `systemctl start actod`. There is no store in {state}\n"
    clock = HandClock()
    store = open_store(state, clock=clock, log=RememberedLog())
    store.run(partial(store.commit, group(range(10), clock=clock)))
    bundle = store.run(store.next_bundle)
    assert bundle is not None
    store.run(partial(store.put, bundle, sealed(bundle)))
    store.run(partial(store.commit, group(range(10, 13), clock=clock)))
    store.close()
    audit = AuditLog(state / "audit", clock=clock, config=AuditConfig())
    audit.record("seal.waiting", reason="token_away")
    audit.record("store.blocked", reason="read_only")
    audit.record("submit.state", state="blocked:gate", before="ok", reason="gate_closed")
    audit.close()
    done = why()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("actod does not run, start it: `systemctl start actod`. When it ended: 1 bundles wait, ")
    assert "blocked:gate (gate_closed): the server's token gate refuses (403): check the wallet" in done.stdout
    assert "sealing waits for the token (token_away), 3 messages are journaled" in done.stdout
    assert "the disk refuses what comes in (read_only)" in done.stdout
