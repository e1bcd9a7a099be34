"""What a detector reports."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
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


SECRETS = frozenset(
    "aws_key git_token payment_key chat_token model_key cloud_key acto_key jwt private_key bearer connection_string wifi_key "
    "password secret url_credential".split()
)
"""Types that the profile `secrets-only` masks."""
TYPES: frozenset[str] = SECRETS | frozenset(
    "email phone card iban us_ssn uk_nino de_steuerid fr_nir es_dni it_cf nl_bsn pl_pesel br_cpf in_aadhaar national_id "
    "ipv4 ipv6 mac gps address person dob passport plate vin badge biometric identifier free_text unknown_field unreadable number".split()
)
PSEUDONYM_CHARACTERS = 12


def ungrouped(pattern: str) -> str:
    """Loosen a pattern so that it can be one of many alternatives: a separator need not be the same twice."""
    return re.sub(r"\(\[([^]]*)\](\??)\)", r"[\1]\2", pattern).replace("\\1", "[ .-]?")


def marker(types: Iterable[str]) -> re.Pattern[str]:
    """Return what masking leaves behind for these types.

    It is never looked into again, so that masking twice is masking once. Nothing else may pass for it: a type that we
    know, then nothing, a short number, or a pseudonym, which always has a letter and so is never somebody's number.
    """
    names = "|".join(sorted(map(re.escape, types)))
    return re.compile(rf"<(?:{names.upper()})(?::(?:\d{{1,3}}|(?=[0-9]*[a-f])[0-9a-f]{{{PSEUDONYM_CHARACTERS}}}))?>")


UNREADABLE = "<UNREADABLE>"
MARKER = marker(TYPES | {"configured"})


class Cover:
    """Spans of a text, asked whether one of them holds a piece: in time that hardly grows with their number."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(spans)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))

    def holds(self, start: int, end: int) -> bool:
        """Whether one span reaches from `start` or before to `end` or beyond."""
        before = bisect_right(self._starts, start)
        return before > 0 and self._ends[before - 1] >= end


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
