"""Masking what is masked: a second look finds nothing that the first one left, and what a masker remembers changes nothing.

Left out is what is known: what was made coarser may look like something else afterwards, so places are redacted here.
"""

from __future__ import annotations

from actod.config import MaskingConfig, MaskRuleConfig
from actod.errors import RejectedError
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from tests.fuzz.deliveries import cold, inputs, router
from tests.mask.parts import KEY

_POLICY = Policy.compile(MaskingConfig(rules=[MaskRuleConfig(operator="redact", type="gps")]))
_MASKER = PolicyMasker(policy=_POLICY, pseudonym_key=KEY)


def one_input(data: bytes) -> None:
    masker, one_router = cold(_MASKER), router()
    for one in inputs(data):
        try:
            reading = one_router.route(one.delivery)
        except RejectedError:
            continue
        once, topic, _ = masker.mask_value(reading.data, topic=reading.topic, profile=reading.mask_profile)
        again = masker.mask_value(reading.data, topic=reading.topic, profile=reading.mask_profile)
        assert again[:2] == (once, topic), "what it remembers changes what it masks"
        twice, _, counts = masker.mask_value(once, topic=reading.topic, profile=reading.mask_profile)
        assert twice == once, f"a second look finds {dict(counts)}"
        assert masker.mask_value(None, topic=topic, profile=reading.mask_profile)[1] == topic
