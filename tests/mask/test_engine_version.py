"""The policy's digest names the version of the engine: two records with one digest were masked alike."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import orjson
import pytest

from actod.config import MaskingConfig
from actod.mask import policy
from actod.mask.policy import ENGINE_VERSION, Policy
from tests.mask.parts import masker

CORPORA = (Path(__file__).parents[1] / "pii", Path(__file__).parents[1] / "pii" / "second")
PROFILES = ("balanced", "secrets-only")
# What version makes of both corpora. If the masker does something else now, raise ENGINE_VERSION, and write both anew.
VERSION, DIGEST = 3, "126412b0cb1dc8af"


def _digest() -> str:
    made = hashlib.sha256()
    for corpus in CORPORA:
        one = masker()
        for line in gzip.decompress((corpus / "corpus.jsonl.gz").read_bytes()).splitlines():
            message = orjson.loads(line)
            for profile in PROFILES:
                value, topic, _counts = one.mask_value(message["payload"], topic=message["topic"], profile=profile)
                made.update(orjson.dumps([value, topic]))
    return made.hexdigest()[:16]


def test_the_engine_has_a_new_version_where_it_masks_something_else() -> None:
    assert (ENGINE_VERSION, _digest()) == (VERSION, DIGEST)


def test_the_policy_s_digest_covers_the_version_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Policy.compile(MaskingConfig()).digest
    monkeypatch.setattr(policy, "ENGINE_VERSION", ENGINE_VERSION + 1)
    assert Policy.compile(MaskingConfig()).digest != before
