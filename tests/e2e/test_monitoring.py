"""The running daemon as its operator watches it: no listener by default, metrics over restarts and kills, the live view."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actod.cli.state import ask_at
from actod.cli.status import _lines
from actod.service.metrics import METRICS, Kept
from actod.store.schema import DATABASE_NAME
from hil.rig import ROOT, Rig, wait_for, write_config
from hil.soak import SETTINGS
from tests.e2e.test_away import publish
from tests.e2e.test_hostile_messages import publish as publish_payloads

MAIL = "canary.person@example.org"
STRANGER = "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(99)"

Metrics = dict[tuple[str, tuple[str, ...]], float]


def scrape(port: int) -> tuple[str, Metrics]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text: str = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return text, {(sample.name, tuple(sample.labels.values())): sample.value for sample in samples}


def listens_at(pid: int) -> set[str]:
    """Return the TCP addresses at which a process listens."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            sockets.add(str(descriptor.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(words[1])
    return found


def configure(rig: Rig, port: int, control: Path) -> None:
    metrics = f'\n[metrics]\nlisten = "127.0.0.1:{port}"\ntextfile = "{rig.folder}/actod.prom"\n' if port else ""
    write_config(rig, settings=f'{SETTINGS}{metrics}\n[control]\nsocket = "{control}"\n')


def publishing(rig: Rig, payload: bytes) -> threading.Thread:
    """Publish one message beside the test: its acknowledgement may be long in coming."""
    thread = threading.Thread(target=publish_payloads, args=(rig, [payload]))
    thread.start()
    return thread


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def control() -> Iterator[Path]:
    """Give a socket in a folder that others can reach, as if the unit's folder did not hold them back."""
    with tempfile.TemporaryDirectory(prefix="actod-control-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "c.sock"


def a_stranger_is_refused_audited_and_counted(rig: Rig, control: Path, port: int) -> None:
    control.chmod(0o666)
    subprocess.run([sys.executable, "-c", STRANGER, str(control)], check=True, timeout=20)
    wait_for(lambda: scrape(port)[1]["actod_access_denied_total", ("control",)] == 1, what="the caller in the metrics")
    lines = "".join(file.read_text(encoding="utf-8") for file in (rig.state / "audit").glob("*.jsonl"))
    assert '"event":"access.denied"' in lines


def a_disk_that_hangs_and_a_key_that_is_refused_are_seen(rig: Rig, control: Path, port: int) -> None:
    rig.collector.set_faults([{"kind": "status", "status": 401}])
    with closing(sqlite3.connect(rig.state / DATABASE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # as a disk that hangs: the store's thread waits, five seconds each time
        publisher = publishing(rig, b'{"n": 1}')
        hangs = wait_for(
            lambda: not (facts := ask_at(control, "status"))["store_answers"] and facts,
            what="a status beside a disk that hangs",
        )
        assert "IT HANGS" in "\n".join(_lines(hangs))
        assert hangs["store"]["acknowledged"] >= 61
        other.execute("ROLLBACK")
    publisher.join()
    refused = wait_for(
        lambda: (seen := scrape(port)[1])["actod_blocked_seconds", ("submit",)] and seen, what="that the key is refused"
    )
    assert refused["actod_blocked", ("submit", "blocked:auth")] == 1
    failures = {
        refused["actod_submit_failures_total", ("unauthorised",)],
        refused["actod_authentication_failures_total", ("401",)],
    }
    assert min(failures) == max(failures) > 0
    rig.collector.set_faults([])


def test_metrics_are_off_by_default_and_outlive_restarts_and_kills_and_show_nothing_of_anyone(
    rig: Rig, control: Path
) -> None:
    configure(rig, 0, control)
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    assert listens_at(rig.actod.pid()) == set()
    publish(rig, 0, 60)
    publish_payloads(rig, [json.dumps({"note": f"ask {MAIL}", "at": "noon"}).encode(), b'{"n": NaN}'])
    wait_for(lambda: rig.witness.count_pubacks() >= 62, what="all acknowledgements")
    assert rig.actod.stop() == 0

    port = free_port()
    configure(rig, port, control)
    rig.actod.start()

    def told() -> tuple[str, Metrics] | None:
        with suppress(OSError):
            return scrape(port)
        return None

    def settled() -> Metrics | None:
        metrics = (told() or ("", {}))[1]
        waits = sum(metrics.get((f"actod_{each}", ()), 1) for each in ("journal_messages", "queue_bytes"))
        return metrics if not waits and metrics["actod_intake_state", ("connected",)] else None

    first = wait_for(settled, what="an empty queue")
    assert {int(address.rpartition(":")[2], 16) for address in listens_at(rig.actod.pid())} == {port}
    assert {address.partition(":")[0] for address in listens_at(rig.actod.pid())} == {"0100007F"}
    assert first["actod_messages_received_total", ()] == 62
    assert first["actod_messages_refused_total", ("nan",)] == 1
    assert first["actod_redactions_total", ("email",)] == first["actod_messages_masked_total", ()] == 1
    assert first["actod_losses_total", ("nan", "bulk")] == 1
    assert first["actod_bundles_receipted_total", ()] == first["actod_bundles_sealed_total", ()]
    assert first["actod_sign_seconds_count", ()] == first["actod_bundles_sealed_total", ()]
    assert first["actod_wire_bytes_total", ("sent",)] > sum(len(json.dumps(each)) for each in rig.envelopes()) / 2

    if os.getuid() == 0:  # who else can become somebody else?
        a_stranger_is_refused_audited_and_counted(rig, control, port)
    a_disk_that_hangs_and_a_key_that_is_refused_are_seen(rig, control, port)
    rig.actod.kill()
    rig.actod.start()
    text, after_kill = wait_for(told, what="the metrics after a kill")
    exact = [metric.name for metric in METRICS if metric.kept is Kept.EXACT]
    assert {key: value for key, value in first.items() if key[0] in exact and after_kill[key] < value} == {}
    assert after_kill["actod_messages_received_total", ()] == 0  # not 62 or less: increase() would add that once more
    facts = json.loads(rig.tool("status", "--config", str(rig.config_file), "--json", check=True).stdout)
    assert facts["losses"]["nan"] == 1
    assert rig.actod.stop() == 0
    for canary in (MAIL, "canary.person", "robot/", "hostile", "joints", rig.api_key, facts["store"]["device"]):
        assert canary not in text
    assert not (rig.folder / "actod.prom").exists()


@contextmanager
def terminal(rig: Rig, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str, str], str]]]:
    """Run a command in a terminal of its own; yield it, and what waits until it shows something."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def until(text: str, what: str) -> str:
        def shown() -> bool:
            while select.select([ours], [], [], 0)[0]:
                try:
                    seen.extend(os.read(ours, 65536))
                except OSError:
                    break  # the other side is closed
            return text in seen.decode()

        wait_for(shown, what=what)
        everything = seen.decode()
        seen.clear()
        return everything

    command = ["env", "--default-signal=INT", sys.executable, "-m", "actod", *arguments]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=rig.actod.environment, cwd=ROOT, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            yield process, until
        finally:
            process.kill()
            os.close(ours)


def test_the_live_view_goes_on_over_a_restart_and_leaves_the_terminal_as_it_was(rig: Rig) -> None:
    arguments = ("status", "--watch", "0.2", "--config", str(rig.config_file))
    with terminal(rig, *arguments) as (process, until):
        until("no actod runs", "that nobody is there")
        rig.actod.start()
        publish(rig, 0, 30)
        shown = until("\x1b[K\r\nlast receipts\x1b[K\r\n  20", "the receipts")
        for line in (
            "intake      connected",
            "rates       in ",
            "latency     sign p50 ",
            "blocked     nothing",
            "losses      none",
        ):
            assert line in shown
        rig.actod.kill()
        until("it is waited for", "that the daemon is away")
        rig.collector.set_faults([{"kind": "cut", "at": "before_tls"}])
        rig.actod.start()
        until("blocked     submission: blocked:network for ", "the reason, and since when")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert until("\x1b[?1049l", "the first screen").endswith("\x1b[?25h\x1b[?1049l")

    command = ["env", "--default-signal=INT", sys.executable, "-m", "actod", *arguments, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=rig.actod.environment, cwd=ROOT) as piped:
        assert piped.stdout is not None
        blocks: list[dict[str, Any]] = [json.loads(piped.stdout.readline()) for _ in range(2)]
        piped.send_signal(signal.SIGINT)
        assert piped.wait(20) == 0
    assert {block["blocked"][0]["part"] for block in blocks} == {"submit"}
    assert rig.actod.stop() == 0
