"""`actod mask`: masks JSON lines, explains each decision, or searches files for what should not be there."""

from __future__ import annotations

import argparse
import secrets
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from actod.config import DetectorConfig, MaskingConfig, MaskRuleConfig, SchemaConfig
from actod.errors import EXIT_FAILED, EXIT_USAGE, ConfigError, RejectedError
from actod.mask.engine import PolicyMasker
from actod.mask.policy import PROFILES, Policy
from actod.mask.verdicts import Decision


def add_parser(subparsers: Any) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("mask", help="mask JSON lines, explain each decision, or search files")
    add_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders to search (with --check); else standard input")
    parser.add_argument("--policy", type=Path, help="a TOML file whose [masking] table is the policy")
    parser.add_argument("--profile", choices=PROFILES, default="balanced")
    parser.add_argument(
        "--explain", action="store_true", help="print each decision instead of the masked message; no values"
    )
    parser.add_argument("--check", action="store_true", help="print where something is found; exit 1 if anything is")
    parser.add_argument("--pseudonym-key", type=Path, help="file of 32 bytes, for `hash`; else a random key for this run")


def run(args: argparse.Namespace) -> int:
    """Run the command; exit code 1 where --check finds something or a line could not be masked."""
    key = args.pseudonym_key.read_bytes() if args.pseudonym_key else secrets.token_bytes(32)
    masker = PolicyMasker(policy=Policy.compile(load_policy(args.policy)), pseudonym_key=key)
    if args.check:
        return _check(masker, args)
    if args.paths:
        print("actod mask: files are searched with --check; to mask one, give it on standard input", file=sys.stderr)
        return EXIT_USAGE
    return _filter(masker, args, sys.stdin.buffer, sys.stdout.buffer)


def load_policy(path: Path | None) -> MaskingConfig:
    """Read the [masking] table of a TOML file (or a file that is that table alone). Raises ConfigError."""
    if path is None:
        return MaskingConfig()
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise ConfigError(file=str(path), key="masking", expected="a readable TOML file", fix="see docs/masking.md") from exc
    table = dict(document.get("masking", document))
    try:
        rules = [MaskRuleConfig(**rule) for rule in table.pop("rules", [])]
        detectors = [DetectorConfig(**detector) for detector in table.pop("detectors", [])]
        folder = path.parent.resolve()
        schemas = [SchemaConfig(topic=one["topic"], file=folder / one["file"]) for one in table.pop("schemas", [])]
        return MaskingConfig(**table, rules=rules, detectors=detectors, schemas=schemas)
    except (KeyError, TypeError) as exc:
        raise ConfigError(file=str(path), key="masking", expected="only known keys", fix="see docs/masking.md") from exc


def _filter(masker: PolicyMasker, args: argparse.Namespace, source: BinaryIO, sink: BinaryIO) -> int:
    failed = 0
    mask, dumps, loads, write = masker.mask_value, orjson.dumps, orjson.loads, sink.write
    for line in source:
        if not line.strip():
            continue
        decisions: list[Decision] = []
        try:
            message = loads(line)
            wrapped = type(message) is dict and "payload" in message
            body = message["payload"] if wrapped else message
            topic = message.get("topic") or "" if wrapped else ""
            masked, new_topic, _ = mask(
                body, topic=topic, profile=args.profile, explain=decisions.append if args.explain else None
            )
            if args.explain:
                name = str(message.get("id", "")) if wrapped else ""
                for decision in decisions:
                    write(_line(name, decision))
                continue
            if wrapped:
                message["payload"] = masked
                if topic:
                    message["topic"] = new_topic
            write(dumps(message if wrapped else masked) + b"\n")
        except (RejectedError, ValueError, TypeError, AttributeError):
            failed += 1
            print("actod mask: a line was left out: not JSON, or it could not be masked", file=sys.stderr)
    sink.flush()
    return EXIT_FAILED if failed else 0


def _line(name: str, decision: Decision) -> bytes:
    return orjson.dumps({"id": name, **decision._asdict()}) + b"\n"


def _check(masker: PolicyMasker, args: argparse.Namespace) -> int:
    total: Counter[str] = Counter()
    sources = [(str(file), file.read_bytes()) for path in args.paths for file in _files(path)] or [
        ("-", sys.stdin.buffer.read())
    ]
    for name, content in sources:
        for place, decision in search(masker, content, profile=args.profile):
            total[decision.type] += decision.operator != "keep"
            print(f"{name}:{place}{decision.path}: {decision.type} ({decision.rule}, {decision.confidence:.2f})")
    print(f"{sum(total.values())} found" + (": " + ", ".join(f"{n} {t}" for t, n in sorted(total.items())) if total else ""))
    return EXIT_FAILED if total else 0


def search(masker: PolicyMasker, content: bytes, *, profile: str) -> Iterator[tuple[str, Decision]]:
    """Yield what the detectors find in a document, each with its place ("12:" is line 12); no values."""
    for place, value in _values(content):
        found: list[Decision] = []
        masker.mask_value(value, profile=profile, explain=found.append)
        yield from ((place, decision) for decision in found)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    else:
        yield path


def _values(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield (place, value): a JSON document, else each line as JSON, else each line as text."""
    try:
        yield "", orjson.loads(content)
    except ValueError:
        for number, line in enumerate(content.split(b"\n"), 1):
            if line.strip():
                try:
                    value = orjson.loads(line)
                except ValueError:
                    value = line.decode("utf-8", "replace")
                yield f"{number}:", value
