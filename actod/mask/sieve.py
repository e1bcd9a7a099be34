"""A look at a text that says what it cannot hold: most detectors never see most texts.

A sign is what no finding of a detector can be without, in RE2's words: no look-around, no upper bound on what repeats. It
may stand where nothing is found, never the other way round (tests/mask/test_sieve.py). All signs of a sieve are looked for
in one pass whose time does not depend on their number, but a few sieves are quicker than one: the states of an automaton
are the product of what its signs have seen so far.

A sign is read in ASCII, where `?` stands for any other character: what may be one, or stand beside one, says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import re2

from actod.mask.finding import Finding, ungrouped

Look = Callable[[str], Iterable[Finding]]

SPACE = r"[\s\v\x1c-\x1f?]"
WORD = "[0-9A-Za-z_?]"
NO_WORD_BEFORE = "(?:^|[^0-9A-Za-z_])"
NO_WORD_AFTER = "(?:$|[^0-9A-Za-z_])"
_MEMORY_BYTES = 3 << 18  # for each; what the two corpora need, and a half more
_NOT_BEFORE = re.compile(r"\(\?<!\[([^]]*)\]\)")
_NOT_AFTER = re.compile(r"\(\?!(?:\[([^]]*)\]|(\\w))(?:\|[^()]*)?\)\Z")
_AHEAD = re.compile(r"\(\?![^()]*\)")


def plain_bytes(text: str) -> bytes:
    """Write a text as sieves read it."""
    return text.encode("ascii", "replace")


def sign_of(pattern: str) -> str:
    """Loosen a detector's pattern to a sign: one character that may not stand on either side is read, no more is asked."""
    pattern = _NOT_BEFORE.sub(r"(?:^|[^\1])", ungrouped(pattern))
    pattern = _NOT_AFTER.sub(lambda m: f"(?:$|[^{m[1] or m[2]}])", pattern)
    return _AHEAD.sub("", pattern).replace(r"\s", SPACE)


def in_ascii(pattern: str) -> str:
    """Write a pattern so that it reads what sieves read."""
    return "".join(char if char.isascii() else r"\?" for char in pattern).replace(r"\w", WORD)


class Signs:
    """Patterns that are all looked for in one pass."""

    def __init__(self, *signs: str) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.never_capture = True
        options.max_mem = _MEMORY_BYTES
        self._set = re2.Set.SearchSet(options)
        for sign in signs:
            self._set.Add(sign)
        self._set.Add("")  # stands in every text: where it is not seen, RE2 lacked the memory to look
        self._set.Compile()
        self._all = list(range(len(signs) + 1))
        self._match = self._set._set.Match  # noqa: SLF001 - a third of the time is that of the wrapper around it

    def seen(self, raw: bytes) -> list[int]:
        """Return the numbers of the signs in a text, and one more for the text itself; all of them where that is not known."""
        return self._match(raw) or self._all


class Sieve(Signs):
    """Signs, and the detector that each belongs to."""

    def __init__(self, *signs: tuple[str, Look]) -> None:
        super().__init__(*(sign for sign, _ in signs))
        self.detectors = tuple(look for _, look in signs)

    def looks(self, raw: bytes) -> Sequence[Look]:
        """Return the detectors that may find something, in their order."""
        seen = self._match(raw) or self._all
        return [self.detectors[number] for number in sorted(seen)[:-1]] if len(seen) > 1 else ()
