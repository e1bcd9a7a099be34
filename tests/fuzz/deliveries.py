r"""Bytes to messages, so that a corpus file can be read: `<flags><topic>\n<payload>`, and \x1e before the next message.

`flags` is one character of which the low bits count: 1 QoS 1, 2 duplicate, 4 retained, 8 the policy with rules and own
detectors instead of the default one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from actod.collect.router import PayloadRouter
from actod.config import DetectorConfig, MaskingConfig, MaskRuleConfig, RouteConfig
from actod.mask.engine import PolicyMasker
from actod.mask.keys import KeyBook
from actod.mask.policy import Policy
from actod.model import Delivery
from tests.collect.routing import VDA2, VDA3, deliver, make_router
from tests.mask.parts import KEY

SEPARATOR = b"\x1e"
MOST_MESSAGES = 8
LARGEST_PAYLOAD = 16_384
ROUTES = (
    VDA2,
    VDA3,
    RouteConfig(name="loose", topic="vda5050/balanced/+/+/+", mask="balanced"),
    RouteConfig(name="secrets", topic="log/#", mask="secrets-only", traffic_class="bulk"),
    RouteConfig(name="tasks", topic="robot/+/#", robot_id="topic:2", task_id="/task", run_id="/run/id", timestamp="/ts"),
    RouteConfig(name="schema", topic="strict/#", mask="strict", robot_id="/serialNumber", timestamp="/timestamp"),
    RouteConfig(name="any", topic="t/#"),
)
PLAIN = Policy.compile(MaskingConfig())
RULED = Policy.compile(
    MaskingConfig(
        mask_char="#",
        preserve_length=True,
        max_leaf_bytes=4096,
        max_decode_depth=2,
        rules=[
            MaskRuleConfig(operator="keep", path="/errors/*/errorType"),
            MaskRuleConfig(operator="drop", path="/camera"),
            MaskRuleConfig(operator="hash", type="email"),
            MaskRuleConfig(operator="mask", type="phone"),
            MaskRuleConfig(operator="mask", type="free_text"),
            MaskRuleConfig(operator="mask", type="unknown_field"),
            MaskRuleConfig(operator="mask", type="identifier", profile="strict"),
            MaskRuleConfig(operator="coarsen", type="dob"),
        ],
        detectors=[DetectorConfig(name="site_badge", pattern=r"\bBADGE-?[0-9]{4,8}\b", keys=[])],
    )
)


@dataclass(frozen=True, slots=True)
class Input:
    """One message, and whether it comes under the policy with rules."""

    delivery: Delivery
    ruled: bool

    @property
    def size_bytes(self) -> int:
        return len(self.delivery.payload) + len(self.delivery.topic)


def inputs(data: bytes) -> list[Input]:
    return [_input(number, part) for number, part in enumerate(data.split(SEPARATOR)[:MOST_MESSAGES], 1)]


def router() -> PayloadRouter:
    intake = {"max_open_runs": 3, "new_runs_per_minute": 4, "largest_payload_bytes": LARGEST_PAYLOAD}
    return make_router(*ROUTES, robots={"amr-07": "robot-7"}, intake=intake)


def cold_masker(*, ruled: bool) -> PolicyMasker:
    """Return a masker that remembers nothing: what an input does must not depend on the inputs before.

    It is the same one each time: to make its tables anew takes longer than to mask a message.
    """
    return cold(_masker(ruled=ruled))


def cold(masker: PolicyMasker) -> PolicyMasker:
    """Let a masker forget all that it has seen."""
    for profile in masker._books:
        masker._books[profile] = KeyBook()
    masker._strict._ids.clear()
    masker.rekey(KEY)
    return masker


@cache
def _masker(*, ruled: bool) -> PolicyMasker:
    return PolicyMasker(policy=RULED if ruled else PLAIN, pseudonym_key=KEY)


def _input(number: int, part: bytes) -> Input:
    head, _, payload = part.partition(b"\n")
    flags = head[0] if head else 0
    delivery = deliver(
        head[1:].decode("utf-8", "surrogateescape"),  # as the session does it
        payload,
        at=1_767_323_045 + number / 4,
        qos=flags & 1,
        packet_id=number if flags & 1 else 0,
        duplicate=bool(flags & 3 == 3),
        retained=bool(flags & 4),
    )
    return Input(delivery, ruled=bool(flags & 8))
