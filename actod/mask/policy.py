"""The masking policy, compiled: for a type at a path in a profile, one operator.

The digest covers all that changes what is masked: profiles, rules, detectors, limits, and the version of the engine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import re2

from actod.config import MaskingConfig, MaskRuleConfig
from actod.errors import ConfigError
from actod.mask.finding import TYPES
from actod.mask.keys import fold
from actod.mask.schema import MOST_BYTES, Schema, SchemaError, read_schema

ENGINE_VERSION = 3  # raised with every change of what the masker does: tests/mask/test_engine_version.py
PROFILES = ("strict", "balanced", "secrets-only")
OPERATORS = ("mask", "redact", "hash", "coarsen", "drop", "keep")
_DEFAULT_OPERATORS = {"gps": "coarsen", "identifier": "hash", "free_text": "drop", "unknown_field": "drop"}
_NAME = re.compile(r"[a-z][a-z0-9_]{1,30}\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BAD_ESCAPE = re.compile(r"~(?![01])")
_LONGEST_PATTERN = 2048
_PATTERN_MEMORY_BYTES = 1 << 20
Tokens = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One configured rule; `path` holds unescaped tokens, "*" for any."""

    operator: str
    type: str
    path: Tokens | None
    profile: str

    def matches_path(self, path: Tokens) -> bool:
        """Whether `path` is at or below this rule's path."""
        if self.path is None:
            return True
        return len(path) >= len(self.path) and all(want in ("*", got) for want, got in zip(self.path, path, strict=False))


@dataclass(frozen=True, slots=True)
class Detector:
    """An operator's own detector on the linear-time engine."""

    name: str
    pattern: Any = field(repr=False)
    keys: frozenset[str]

    def reaches(self, path: list[str]) -> bool:
        """Whether it looks at what stands at `path`: everywhere, or below a key with one of its words."""
        return not self.keys or any(word in folded for folded in map(fold, path) for word in self.keys)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where it matches, in characters."""
        plain = (
            text if text.isascii() else _SURROGATE.sub("\ufffd", text)
        )  # of JSON in a string; the engine takes UTF-8 only
        return [m.span() for m in self.pattern.finditer(plain) if m.end() > m.start()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What to do with what is found. Made by `compile`; holds no key."""

    mask_char: str
    preserve_length: bool
    max_depth: int
    max_leaf_bytes: int
    max_decode_depth: int
    rules: tuple[Rule, ...]
    detectors: tuple[Detector, ...] = field(repr=False)
    schemas: tuple[Schema, ...] = field(repr=False)
    digest: str

    @classmethod
    def compile(cls, config: MaskingConfig) -> Policy:
        """Check and compile. Raises ConfigError that names the rule or detector and what was expected."""
        if len(config.mask_char) != 1 or not config.mask_char.isprintable() or config.mask_char.isalnum():
            raise ConfigError(
                key="masking.mask_char", expected="one printable sign that is no letter or digit", fix='write "*"'
            )
        for limit in ("max_depth", "max_leaf_bytes", "max_decode_depth"):
            if getattr(config, limit) < 1:
                raise ConfigError(key="masking." + limit, expected="at least 1", fix="leave it out for the default")
        schemas, contents = _schemas(config)
        effective = {
            "engine": ENGINE_VERSION,
            "defaults": _DEFAULT_OPERATORS,
            "config": dataclasses.asdict(dataclasses.replace(config, schemas=[])),
            "schemas": contents,  # what they say, not where they lie
        }
        own = frozenset(detector.name for detector in config.detectors)
        return cls(
            mask_char=config.mask_char,
            preserve_length=config.preserve_length,
            max_depth=config.max_depth,
            max_leaf_bytes=config.max_leaf_bytes,
            max_decode_depth=config.max_decode_depth,
            rules=tuple(_rule(rule, index, own) for index, rule in enumerate(config.rules)),
            detectors=_detectors(config),
            schemas=schemas,
            digest=hashlib.sha256(orjson.dumps(effective, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        )

    def rules_for(self, profile: str) -> tuple[Rule, ...]:
        """Return the rules that apply in a profile, in order."""
        return tuple(rule for rule in self.rules if rule.profile in ("", profile))

    def default_operator(self, type_: str) -> str:
        """Return the operator for a type that no rule names."""
        return _DEFAULT_OPERATORS.get(type_, "redact")


def _rule(rule: MaskRuleConfig, index: int, own: frozenset[str]) -> Rule:
    key = f"masking.rules[{index}]"
    if rule.operator not in OPERATORS:
        raise ConfigError(key=key + ".operator", expected="one of " + ", ".join(OPERATORS), fix="name an operator")
    if rule.type and rule.type not in TYPES | own:
        raise ConfigError(
            key=key + ".type", expected="a type of docs/masking.md or an own detector's name", fix="correct the name"
        )
    if rule.profile and rule.profile not in PROFILES:
        raise ConfigError(key=key + ".profile", expected="one of " + ", ".join(PROFILES), fix="correct the name")
    if rule.path and not rule.path.startswith("/"):
        raise ConfigError(
            key=key + ".path", expected='a JSON Pointer such as "/errors/*/errorDescription"', fix="begin it with /"
        )
    if not rule.type and not rule.path:
        raise ConfigError(key=key, expected="a type, a path, or both", fix="say what the rule is about")
    if _BAD_ESCAPE.search(rule.path):
        raise ConfigError(key=key + ".path", expected="~ only as ~0 (for ~) or ~1 (for /)", fix="escape it, RFC 6901")
    path = tuple(token.replace("~1", "/").replace("~0", "~") for token in rule.path.split("/")[1:]) if rule.path else None
    return Rule(rule.operator, rule.type, path, rule.profile)


def _schemas(config: MaskingConfig) -> tuple[tuple[Schema, ...], list[Any]]:
    """Read the schemas. Return them, and what of them goes into the digest."""
    made, contents = [], []
    for index, schema in enumerate(config.schemas):
        key = f"masking.schemas[{index}]"
        levels = tuple(schema.topic.split("/"))
        if (
            not schema.topic
            or any(len(level) > 1 and ("+" in level or "#" in level) for level in levels)
            or "#" in levels[:-1]
        ):
            raise ConfigError(
                key=key + ".topic", found=repr(schema.topic), expected="an MQTT topic filter", fix='such as "plant/+/status"'
            )
        document = _document(schema.file, key + ".file")
        try:
            table = read_schema(document, _compiled_pattern)
        except SchemaError as exc:
            raise ConfigError(
                file=str(schema.file),
                key=exc.where,
                found=exc.found,
                expected=exc.expected,
                fix="see docs/masking.md: what strict takes of a JSON schema",
            ) from exc
        made.append(Schema(levels, table))
        contents.append([schema.topic, document])
    return tuple(made), contents


def _document(file: Path, key: str) -> Any:
    try:
        raw = file.read_bytes()
        document = orjson.loads(raw)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            key=key, found=type(exc).__name__, expected=f"a readable JSON file: {file}", fix="write the schema there"
        ) from exc
    if len(raw) > MOST_BYTES:
        raise ConfigError(key=key, found=f"{len(raw)} bytes", expected=f"at most {MOST_BYTES} bytes", fix="shorten it")
    return document


def _compiled_pattern(pattern: str) -> Any:
    """Compile an operator's pattern. Raises ValueError."""
    options = re2.Options()
    options.max_mem = _PATTERN_MEMORY_BYTES
    options.log_errors = False
    if not pattern or len(pattern) > _LONGEST_PATTERN:
        raise ValueError("length")
    try:
        return re2.compile(pattern, options)
    except re2.error as exc:
        raise ValueError("RE2") from exc


def _detectors(config: MaskingConfig) -> tuple[Detector, ...]:
    compiled: list[Detector] = []
    for index, detector in enumerate(config.detectors):
        key = f"masking.detectors[{index}]"
        if not _NAME.match(detector.name) or detector.name in TYPES:
            raise ConfigError(
                key=key + ".name", expected="a new lower-case word such as site_badge", fix="choose another name"
            )
        if detector.name in {d.name for d in compiled}:
            raise ConfigError(key=key + ".name", expected="a name of its own", fix="choose another name")
        if not detector.pattern or len(detector.pattern) > _LONGEST_PATTERN:
            raise ConfigError(
                key=key + ".pattern", expected=f"1 to {_LONGEST_PATTERN} characters", fix="write a shorter pattern"
            )
        try:
            pattern = _compiled_pattern(detector.pattern)
        except ValueError as exc:
            raise ConfigError(
                key=key + ".pattern",
                expected="an RE2 pattern (no look-around, no back-reference)",
                fix="see docs/masking.md",
            ) from exc
        compiled.append(Detector(detector.name, pattern, frozenset(fold(word) for word in detector.keys)))
    return tuple(compiled)
