"""Words brought to one form: lower case, no accents. Keys, vocabularies and text meet in it."""

from __future__ import annotations

import unicodedata

_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ł": "l",
        "Ł": "l",
        "ø": "o",
        "Ø": "o",
        "đ": "d",
        "Đ": "d",
        "ð": "d",
        "Ð": "d",
        "þ": "th",
        "Þ": "th",
        "æ": "ae",
        "Æ": "ae",
        "œ": "oe",
        "Œ": "oe",
        "ı": "i",
    }
)


def fold(text: str) -> str:
    """Lower case without accents and without the vowel signs that a word pattern would split at."""
    return text.lower() if text.isascii() else plain_letters(text).lower()


def plain_letters(text: str) -> str:
    """Return the text without accents, capitals kept."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(ch for ch in text if unicodedata.category(ch)[0] != "M")
