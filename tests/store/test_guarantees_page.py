"""The page of guarantees says what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from actod.config import MIB, Config, IntakeConfig, MqttConfig, StoreConfig
from actod.shares import Shares

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
EVENTS = {("store", "host_changed"), ("store", "blocked")}  # of the audit log
BROKER = (ROOT / "deploy" / "mosquitto" / "robot.conf").read_text()


def test_each_key_that_the_page_names_exists() -> None:
    tables = {item.name: item for item in dataclasses.fields(Config)}
    parts = {"intake": IntakeConfig, "mqtt": MqttConfig, "store": StoreConfig}
    named = {(table, key) for table, key in re.findall(r"`([a-z]+)\.([a-z_]+)`", PAGE) if table in parts} - EVENTS
    assert len(named) > 8
    for table, key in named:
        assert table in tables
        assert key in {item.name for item in dataclasses.fields(parts[table])}, f"{table}.{key}"


def test_the_bounds_of_the_page_are_the_defaults() -> None:
    intake = IntakeConfig()
    assert (intake.commit_interval_ms, intake.max_messages, intake.max_bytes) == (500, 5000, 8 * MIB)
    assert "| 500 ms, and the disk's own time |" in PAGE
    assert "| 5,000 and 8 MiB |" in PAGE
    assert f"({StoreConfig().max_bytes // MIB} MiB, at least 8)" in PAGE


def test_the_shares_of_the_page_are_those_of_the_code() -> None:
    large, small = (Shares.of(cap * MIB) for cap in (256, 8))
    for name, words in (
        ("database", "queue, with archive and quarantine"),
        ("database", "the same again, for a repair or for what was damaged"),
        ("wal", "write-ahead log"),
        ("audit", "audit log"),
        ("contents", "contents behind commitments"),
        ("vault", "vault"),
    ):
        share = [f"{getattr(shares, name) / MIB:g} MiB" for shares in (large, small)]
        assert f"| {words} | {share[0]} | {share[1]} |" in PAGE


def test_the_lines_for_mosquitto_are_those_of_the_broker_that_is_shipped() -> None:
    lines = {line for line in BROKER.splitlines() if not line.startswith("#")}
    named = re.findall(r"`((?:persistence|autosave_interval|max_|persistent_)[a-z_]* [^` ]+)`", PAGE)
    assert len(named) >= 6
    assert set(named) <= lines
