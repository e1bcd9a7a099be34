"""The masker: walks a decoded message once, asks the detectors, applies the policy, and closes what it opened.

Fails closed: a leaf that cannot be looked through to its end (too deep, too large, a container that does not open, a
defect of ours) is redacted and counted as `unreadable`; where not even that is possible the message is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from actod.errors import RejectedError
from actod.mask.finding import SECRETS
from actod.mask.keys import KeyBook
from actod.mask.operators import Operators
from actod.mask.policy import PROFILES, Policy
from actod.mask.strict import Strict, StrictWalk
from actod.mask.verdicts import Decision
from actod.mask.walk import Walk
from actod.model import MaskedReading, Reading, Stream
from actod.proof.canonical import canonical

Explain = Callable[[Decision], None]
_MOST_NAMES = 1024


class PolicyMasker:
    """Implements the port `Masker`. Not safe to call from two threads at once; holds no message between calls."""

    def __init__(self, *, policy: Policy, pseudonym_key: bytes) -> None:
        self.adopt(policy, pseudonym_key=pseudonym_key)

    def adopt(self, policy: Policy, *, pseudonym_key: bytes) -> None:
        """Take another policy, between two calls; what was found under the old one is forgotten."""
        self._policy = policy
        # What the profile secrets-only finds clean may hold a name: it remembers in a book of its own.
        book = KeyBook()
        self._books = {profile: KeyBook() if profile == "secrets-only" else book for profile in PROFILES}
        self._strict = Strict(policy.schemas)
        self._rules = {profile: policy.rules_for(profile) for profile in PROFILES}
        self._names: dict[tuple[str, str, str], str] = {}
        self.rekey(pseudonym_key)

    @property
    def policy_digest(self) -> str:
        """The digest that goes into every bundle."""
        return self._policy.digest

    def rekey(self, pseudonym_key: bytes) -> None:
        """Take the key of a new pseudonym epoch; pseudonyms of the old one can no longer be made."""
        self._operators = Operators(
            key=pseudonym_key, mask_char=self._policy.mask_char, preserve_length=self._policy.preserve_length
        )
        # Walks that no message is in. A call takes one out: two at once never share one.
        self._idle: dict[str, list[Walk | StrictWalk]] = {profile: [] for profile in PROFILES}
        self._names.clear()

    def mask(self, reading: Reading) -> MaskedReading:
        """Apply the policy to data, topic and ids. Raises RejectedError("mask_failed") where nothing can be kept."""
        counts: Counter[str] = Counter()
        walk, idle = self._take(reading.mask_profile)
        walk.begin(counts, None)
        try:
            data = walk.message(reading.data, reading.topic)
            topic = self._name(walk, "topic", reading.topic)
            stream = Stream(
                robot_id=None if reading.robot_id is None else self._name(walk, "robot_id", reading.robot_id),
                task_id=self._name(walk, "task_id", reading.task_id),
                run_id=None if reading.run_id is None else self._name(walk, "run_id", reading.run_id),
                traffic_class=reading.traffic_class,
            )
            event = canonical({"data": data, "topic": topic, "ts": reading.timestamp})
        except RejectedError:
            raise
        except Exception as exc:  # noqa: BLE001 - fails closed, whatever it was
            raise RejectedError("mask_failed", type(exc).__name__) from None  # the exception may carry content
        idle.append(walk)
        return MaskedReading(
            stream=stream,
            event=event,
            masked=dict(counts),
            received=reading.received,
            packet_id=reading.packet_id,
            duplicate=reading.duplicate,
            retained=reading.retained,
        )

    def mask_value(
        self, value: Any, *, topic: str = "", profile: str = "balanced", explain: Explain | None = None
    ) -> tuple[Any, str, Counter[str]]:
        """Mask any JSON value and a topic, keeping the order of members. Returns (value, topic, counts by type)."""
        counts: Counter[str] = Counter()
        walk, idle = self._take(profile)
        walk.begin(counts, explain)
        try:
            masked = walk.message(value, topic)
            topic = self._name(walk, "topic", topic) if explain is None else walk.topic(topic)
        except Exception as exc:  # noqa: BLE001 - likewise
            raise RejectedError("mask_failed", type(exc).__name__) from None
        idle.append(walk)
        return masked, topic, counts

    def _take(self, profile: str) -> tuple[Walk | StrictWalk, list[Walk | StrictWalk]]:
        """Return a walk that no other call is in, and where it goes back to. One that broke off does not come back."""
        idle = self._idle.get(profile)
        if idle is None:
            raise RejectedError("mask_failed", "unknown profile")
        try:
            return idle.pop(), idle
        except IndexError:
            return self._walk(profile), idle

    def _walk(self, profile: str) -> Walk | StrictWalk:
        walk = Walk(
            profile=profile,
            policy=self._policy,
            rules=self._rules[profile],
            operators=self._operators,
            book=self._books[profile],
            only=SECRETS if profile == "secrets-only" else None,
        )
        return StrictWalk(strict=self._strict, walk=walk) if profile == "strict" else walk

    def _name(self, walk: Walk | StrictWalk, role: str, name: str) -> str:
        """Mask a topic or id. Clean ones are remembered: they repeat with every message."""
        known = self._names.get((walk.profile, role, name))
        if known is not None:
            return known
        masked = walk.topic(name) if role == "topic" else walk.identifier(role, name)
        if masked == name:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[walk.profile, role, name] = masked
        return masked
