"""A daemon compresses the files of its audit log that have ended, beside its work."""

from __future__ import annotations

from actod.audit.files import is_packed, log_files
from actod.audit.log import AuditLog
from actod.config import AuditConfig
from actod.service.clock import SystemClock
from hil.rig import Rig, wait_for


def test_a_running_daemon_compresses_what_has_ended_and_its_log_verifies(rig: Rig) -> None:
    rig.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    earlier = AuditLog(rig.state / "audit", clock=SystemClock(), config=AuditConfig(max_file_bytes=2000))
    for number in range(12):
        earlier.record("mqtt.connected", attempt=number)
    earlier.close()
    ended = log_files(rig.state / "audit")[:-1]
    assert len(ended) > 1
    rig.actod.start()
    wait_for(lambda: all(map(is_packed, log_files(rig.state / "audit")[:-1])), what="the compressed files")
    assert [first.name for first in log_files(rig.state / "audit")][: len(ended)] == [f"{file.name}.gz" for file in ended]
    shown = rig.tool("audit", "show", "--config", str(rig.config_file), "--last", "500", "--event", "mqtt.", check=True)
    assert shown.stdout.count("attempt=") >= 12
    assert rig.tool("audit", "verify", "--config", str(rig.config_file)).returncode == 0
    assert rig.actod.stop() == 0
