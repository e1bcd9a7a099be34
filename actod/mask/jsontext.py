"""JSON inside a string: the whole of it, or what stands in a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

OPENING, CLOSING = frozenset('{["'), frozenset('}]"')
_JSON_BEGIN = re.compile(r"\"(?=[^\"\\\n]{0,512}\\[\"\\])|\{\s?\"|\[\s?[\[{\"]")
_MOST_INSIDE = 8  # each beginning that is none costs a look at the rest of the text


class DoubledKeyError(ValueError):
    """JSON inside a string names a member twice: readers disagree about what it says."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DoubledKeyError
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_members)


def json_values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Yield (start, end, value) of the JSON that a text is, or else of what stands in it. Raises what is no reason to go on."""
    if not ("{" in text or "[" in text or '"' in text):
        return
    plain = text.strip()
    if len(plain) > 1 and plain[0] in OPENING and plain[-1] in CLOSING:
        try:
            value = json.loads(plain, object_pairs_hook=_members)
        except DoubledKeyError:
            raise
        except ValueError:
            pass
        else:
            yield 0, len(text), value
            return
    start = 0
    for _ in range(_MOST_INSIDE if "{" in text or "[" in text else 0):
        m = _JSON_BEGIN.search(text, start)
        if m is None:
            return
        try:
            value, end = _DECODER.raw_decode(text, m.start())
        except (ValueError, RecursionError):
            start = m.start() + 1
            continue
        yield m.start(), end, value
        start = end


def reads_as_json(text: str) -> bool:
    """Whether a text is JSON from end to end."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
