"""Gates: cheap questions that stand before dear patterns.

The regular expression engine is quick only where a pattern begins with a set of characters: then it runs to the next of
them in a tight loop, and tries nothing in between. Patterns that begin with a look-around, an option or a choice have no such
set. A gate gives them one, and forbids at once what would be a start in the middle of a word or number.
"""

from __future__ import annotations

import re

_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))


def gate(first: str, pattern: str, *, not_after: str = "") -> re.Pattern[str]:
    """Return a pattern that is found where `pattern` begins with one of `first`. It matches that one character.

    Both are the inside of a character set; `not_after` is what may not stand before it.
    """
    guard = f"(?<![{not_after}].)" if not_after else ""
    return re.compile(f"[{first}]{guard}(?<=(?={pattern}).)")


def digits_in(text: str) -> int:
    """Count the digits 0 to 9. Views have no other ones (see normal.py)."""
    return len(text.encode("utf-8", "surrogatepass").translate(None, _NO_DIGITS))
