"""A robot with all that vouches for its audit log: the real log, the real store, and bundles signed with a real key."""

from __future__ import annotations

import dataclasses
import json
import shutil
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from nacl.signing import SigningKey

from actod.audit.files import holds, log_files, whole_lines
from actod.audit.line import line_hash
from actod.audit.log import AuditLog
from actod.audit.retention import Removal, Retention
from actod.cli.main import main
from actod.config import AuditConfig
from actod.model import Envelope, Group, MaskedReading, Receipt, Stream, TrafficClass
from actod.proof.canonical import canonical
from actod.proof.envelope import SealContext, assemble, audit_head, iso
from actod.proof.statements import Key
from actod.proof.trust import Trust
from actod.store.checkpoint import merged
from actod.store.sqlite import SqliteStore
from tests.proof.conftest import keys_of
from tests.store.parts import OPENED, SEAL, HandClock, StoreConfig, reading

DATE = "Tue, 14 Nov 2023 22:13:20 GMT"  # where the hand clock begins
OWN = Stream(None, "actod", None, TrafficClass.NORMAL)


class Robot:
    """Works in `state`; what the collector confirmed lies in `bundles`, what its operator enrolled in `trust.json`."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir(parents=True, mode=0o700, exist_ok=True)
        (folder / "bundles").mkdir(exist_ok=True)
        self.clock, self.signing = HandClock(), SigningKey(bytes(range(32)))
        self.keys = keys_of(self.signing)
        self.config = AuditConfig(**({"max_file_bytes": 4000} | limits))
        self.number = len(list((folder / "bundles").iterdir()))
        self.clock.boot += self.number  # another boot for each time that a folder is taken over, a day later
        self.clock.advance(self.number * 86_400)
        self.start()
        self.heard_holds = holds(self.audit.folder, n=self.store.heard[0], mark=self.store.heard[1])
        trust = Trust({self.store.device: (Key.of(self.keys),)})
        (folder / "trust.json").write_bytes(orjson.dumps(trust.file))

    def start(self) -> None:
        self.audit = AuditLog(self.state / "audit", clock=self.clock, config=self.config)
        self.retention = Retention(self.audit, config=self.config)
        known = merged(self.audit.lines(back_to="device"))
        self.store = SqliteStore(
            folder=self.state, seal=SEAL, store=StoreConfig(), clock=self.clock, witness=self.audit.witness, known=known
        )
        OPENED.append(self.store)
        self.audit.record("key.used", **dataclasses.asdict(Key.of(self.keys)))

    def stop(self) -> None:
        self.store.close()
        self.audit.close()

    def work(self, bundles: int, *, deliver: bool = True) -> None:
        """Take a message, note what an operator did, seal and deliver; so often."""
        for _ in range(bundles):
            self.number += 1
            self.clock.advance(60)
            self.audit.record("queue.purge", peer=1000, number=self.number)
            self._seal(Group(readings=[reading(self.number, clock=self.clock)]), deliver=deliver)

    def remove_what_is_due(self, now: datetime | None = None, *, most: int = 99) -> list[Removal]:
        """Do as the daemon's task does: the device's chain says so first."""
        done = []
        while len(done) < most and (removal := self.retention.due(now)):
            said = {"topic": "actod/audit_removed", "data": dataclasses.asdict(removal), "ts": iso(self.clock.now().wall_ns)}
            self._seal(Group(readings=[MaskedReading(OWN, canonical(said), {}, self.clock.now())]))
            self.retention.remove(removal)
            done.append(removal)
        return done

    def _seal(self, group: Group, *, deliver: bool = True) -> None:
        self.store.run(partial(self.store.commit, group))
        self.store.make_due()
        bundle = self.store.run(self.store.next_bundle)
        assert bundle is not None
        now = self.clock.now()
        context = SealContext(
            boot_id=self.clock.boot_id(),
            clock={"wall": iso(now.wall_ns), "monotonic_ms": now.monotonic_ns // 1_000_000, "synchronised": True},
            policy="a" * 64,
            config="b" * 64,
            audit=self.audit.head(),
            hash_alg="sha256",
            created_at=iso(now.wall_ns),
        )
        unsigned = assemble(bundle, keys=self.keys, context=context).finish(None)
        envelope = unsigned.sign(self.signing.sign(unsigned.payload_hash.encode()).signature)
        self.store.run(partial(self.store.put, bundle, envelope))
        if deliver:
            self.deliver(envelope, name=f"{bundle.device_seq:04}")

    def deliver(self, envelope: Envelope, *, name: str) -> None:
        """Have the collector confirm a bundle."""
        (self.folder / "bundles" / f"{name}.json").write_bytes(envelope.body)
        self.audit.carried(audit_head(envelope), proof_id=envelope.proof_id, date=DATE)
        self.store.run(partial(self.store.receipt, envelope, Receipt(envelope.proof_id, self.clock.now().wall_ns, DATE)))


def verify(folder: Path, capsys: Any, *, bundles: str = "bundles") -> dict[str, Any]:
    """Run `actod audit verify --trust` on a folder of a Robot; return its report, with the words of what was found."""
    arguments = ["--state", str(folder / "state"), "--trust", str(folder / "trust.json"), str(folder / bundles)]
    capsys.readouterr()
    code = main(["audit", "verify", *arguments, "--json"])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["exit_code"] == code
    return report | {"words": [finding["word"] for finding in report["findings"]]}


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def lines_by_file(folder: Path) -> dict[Path, list[dict[str, Any]]]:
    return {file: list(whole_lines(file)) for file in log_files(folder / "state" / "audit")}


def write_anew(folder: Path, *, change: int, **fields: Any) -> None:
    """Do what whoever can write the files can: change a line, and make every hash from there on fit again."""
    head, files = "0" * 64, lines_by_file(folder)
    for file, lines in files.items():
        for line in lines:
            if line["n"] == change:
                line.update(fields)
            if line["n"] >= change:
                line["prev"] = head
                line["hash"] = line_hash(line)
            head = line["hash"]
        file.write_bytes(b"".join(canonical(line) + b"\n" for line in lines))


def cut_behind(folder: Path, n: int) -> None:
    """Cut the log off behind line `n`."""
    for file, lines in lines_by_file(folder).items():
        kept = [line for line in lines if line["n"] <= n]
        if kept:
            file.write_bytes(b"".join(canonical(line) + b"\n" for line in kept))
        else:
            file.unlink()
