"""What a detector reports."""

from __future__ import annotations

import re
from typing import NamedTuple


class Finding(NamedTuple):
    """A sensitive run text[start:end]. `rule` names the detector for `--explain`; `confidence` is 0 to 1.

    `replacement` is set where the run is a container that was opened, masked and closed again.
    """

    start: int
    end: int
    type: str
    rule: str
    confidence: float
    replacement: str | None = None


# What masking leaves behind. It is never looked into again, so that masking twice is masking once.
MARKER = re.compile(r"<[A-Z][A-Z0-9_]{1,31}(?::[0-9a-f]{1,64})?>")

SECRETS = frozenset(
    "aws_key git_token payment_key chat_token model_key cloud_key acto_key jwt private_key bearer connection_string wifi_key "
    "password secret url_credential".split()
)
"""Types that the profile `secrets-only` masks."""


def merge(findings: list[Finding]) -> list[Finding]:
    """Order by position and join what overlaps: the surer one names the whole run."""
    if len(findings) < 2:
        return findings
    findings.sort(key=lambda f: (f.start, -f.end))
    kept = [findings[0]]
    for f in findings[1:]:
        last = kept[-1]
        if f.start >= last.end:
            kept.append(f)
        elif f.end <= last.end and (f.replacement is None or last.replacement is None):
            if f.confidence > last.confidence and last.replacement is None and f.replacement is None:
                kept[-1] = last._replace(type=f.type, rule=f.rule, confidence=f.confidence)
        else:
            best = max(last, f, key=lambda x: x.confidence)
            kept[-1] = Finding(last.start, max(last.end, f.end), best.type, best.rule, best.confidence)
    return kept
