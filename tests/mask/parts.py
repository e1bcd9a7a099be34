"""What the tests of this folder share: a masker, a reading, and what a masked value may look like."""

from __future__ import annotations

from typing import Any

from actod.config import MaskingConfig
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.model import Instant, Reading, TrafficClass

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))


def masker(*, key: bytes = KEY, **config: Any) -> PolicyMasker:
    return PolicyMasker(policy=Policy.compile(MaskingConfig(**config)), pseudonym_key=key)


def masked(value: Any, *, profile: str = "balanced", **config: Any) -> Any:
    """Return the value under a fresh masker, so that nothing remembered from another test helps."""
    return masker(**config).mask_value(value, profile=profile)[0]


def reading(data: Any, **fields: Any) -> Reading:
    return Reading(
        **{
            "robot_id": "amr-07",
            "task_id": "idle",
            "run_id": None,
            "timestamp": "2026-03-01T12:00:00.000Z",
            "topic": "robot/7/events",
            "data": data,
            "route": "all",
            "mask_profile": "balanced",
            "traffic_class": TrafficClass.NORMAL,
            "received": Instant(wall_ns=1_772_366_400_000_000_000, monotonic_ns=1),
            **fields,
        }
    )
