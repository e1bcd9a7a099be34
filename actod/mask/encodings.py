"""Layers under which a value can hide, opened to a bounded depth and size.

Inline layers (percent, HTML entities, backslash escapes, spelled digits, letters set apart) give a view with positions,
so that a finding maps back. Containers (base64, hex, gzip, JSON) are opened, masked and closed again by the engine.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import zlib
from typing import NamedTuple

from actod.mask.finding import Cover, Finding
from actod.mask.keys import fold
from actod.mask.normal import Positions
from actod.mask.sieve import SPACE, Signs

_INLINE = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});|(?:\\\\?u[0-9A-Fa-f]{4})+|(?:\\\\?x[0-9A-Fa-f]{2})+|=(?:[0-9A-F]{2}=)+[0-9A-F]{2}"
)
_SPACED = re.compile(r"(?<![^\s=:#(\[\"'])(?:\S[ \t]){5,}\S(?![^\s,;)\]\"'])")
_QUERY = re.compile(r"(?:^|[?&])[\w.\[\]%-]{1,64}=[^&\s+]{0,256}\+")
_SPOKEN_WORD = re.compile(r"[^\W\d_]+|\+")
_SPOKEN: dict[str, str] = {}
for _language in (
    "zero one two three four five six seven eight nine", "null eins zwei drei vier funf sechs sieben acht neun",
    "zero un deux trois quatre cinq six sept huit neuf", "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "zero uno due tre quattro cinque sei sette otto nove", "zero um dois tres quatro cinco seis sete oito nove",
    "nul een twee drie vier vijf zes zeven acht negen", "zero jeden dwa trzy cztery piec szesc siedem osiem dziewiec",
    "noll ett tva tre fyra fem sex sju atta nio", "nul en to tre fire fem seks syv otte ni",
    "oh a zwo a a a meia a a niner",
):  # fmt: skip
    _SPOKEN.update((word, str(digit)) for digit, word in enumerate(_language.split()) if word != "a")
_SPOKEN.update(
    {
        "plus": "+",
        "oh": "0",
        "o": "0",
        "zwo": "2",
        "meia": "6",
        "niner": "9",
        "dot": ".",
        "point": ".",
        "dash": "-",
        "minus": "-",
    }
)
_NO_DIGIT = frozenset("+.-")
_FEWEST_SPOKEN = 5
_TOKEN = re.compile(r"[A-Za-z0-9+/_-]{60,76}(?:\r?\n[A-Za-z0-9+/_-]{1,76})+={0,2}|[A-Za-z0-9+/_-]{14,}={0,2}")
_HEX_TOKEN = re.compile(r"(?:0[xX])?[0-9a-fA-F]{16,}\Z")
_HEX_SPACED = re.compile(r"(?<![\w:])[0-9a-fA-F]{2}(?:[ :,-](?:0x)?[0-9a-fA-F]{2}){7,}(?![\w:])")
_STARTS = re.compile(r"(?:eyJ|eyI|ewo|ewog|W3s|WyJ|H4sI|LS0t|eJ[wxyz]|eN[oprq]|PD94|PG)")
_ONE_SPOKEN = rf"(?:\b(?:{'|'.join(_SPOKEN).replace('|+', '')})\b|\+)"
_SIDE = r"\s\v\x1c-\x1f?"
JSON, TOKEN, ESCAPE, APART, SPOKEN = range(5)
LAYERS = Signs(
    rf"\{{{SPACE}?\"|\[{SPACE}?[\[{{\"]|\"[^\"\\\n]*\\[\"\\]|^{SPACE}*[\"{{\[]",
    r"[A-Za-z0-9+/_-]{14}|[0-9a-fA-F]{2}(?:[ :,-](?:0x)?[0-9a-fA-F]{2}){7}",
    r"%[0-9A-Fa-f]{2}|&(?:#|[A-Za-z][A-Za-z0-9]*;)|\\[ux][0-9A-Fa-f]{2}|=[0-9A-F]{2}=|=[^\s&+]*\+",
    rf"(?:^|[{_SIDE}=:#(\[\"'])\S[ \t]\S[ \t]\S[ \t]\S[ \t]\S[ \t]\S(?:$|[{_SIDE},;)\]\"'])",
    rf"(?i){_ONE_SPOKEN}(?:[ ,.\t\n-]*{_ONE_SPOKEN}){{2}}",
)
"""What may be opened in a text as it stands (the first three), and in its view (the last two)."""
_OF_TEXT = bytes({*range(32, 127), *range(128, 256), 9, 10, 13})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PROBE_BYTES = 12
_SMALLEST_TEXT = 5


class Container(NamedTuple):
    """An opened container: text[start:end] holds `inner`, and `kind` says how to close it again."""

    start: int
    end: int
    inner: str
    kind: str


class BrokenContainerError(ValueError):
    """Something that says it is a container cannot be opened, or holds more than is allowed."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__("container")
        self.start, self.end = start, end


def inline_view(text: str) -> tuple[str, Positions] | None:
    """Undo escapes in the middle of text; None where there are none."""
    plus = "+" in text and "=" in text and bool(_QUERY.search(text))
    if not plus and not ("%" in text or "&" in text or "\\" in text or "=" in text):
        return None
    literal = _spaces if plus else str
    pieces: list[str] = []
    positions: list[int] = []
    last = 0
    for m in _INLINE.finditer(text):
        decoded = _unescape(m[0])
        if decoded is None:
            continue
        pieces.append(literal(text[last : m.start()]))
        positions.extend(range(last, m.start()))
        pieces.append(decoded[0])
        positions.extend(m.start() + offset for offset in decoded[1])
        last = m.end()
    if not pieces:
        return (literal(text), None) if plus else None
    pieces.append(literal(text[last:]))
    positions.extend(range(last, len(text) + 1))
    return "".join(pieces), positions


def _spaces(text: str) -> str:
    """Undo the plus of a query string: where it stands bare, it is a space."""
    return text.replace("+", " ")


def _unescape(escape: str) -> tuple[str, list[int]] | None:
    """Decode one run of escapes; with each character the offset at which it began."""
    if escape[0] == "&":
        plain = html.unescape(escape)
        return None if plain == escape else (plain, [0] * len(plain))
    if escape[0] in "%=":
        return _from_bytes(bytes.fromhex(escape.replace("%", "").replace("=", "")), 3)
    width = 6 if "u" in escape else 4
    step = width + (1 if escape.startswith("\\\\") else 0)
    if "u" in escape:
        units = [int(x, 16) for x in re.findall(r"u([0-9A-Fa-f]{4})", escape)]
        raw = b"".join(unit.to_bytes(2, "big") for unit in units)
        plain = raw.decode("utf-16-be", "replace")
        offsets, unit_index = [], 0
        for char in plain:
            offsets.append(unit_index * step)
            unit_index += 2 if ord(char) > 0xFFFF else 1
        return plain, offsets
    return _from_bytes(bytes.fromhex("".join(re.findall(r"x([0-9A-Fa-f]{2})", escape))), step)


def _from_bytes(raw: bytes, step: int) -> tuple[str, list[int]]:
    plain = raw.decode("utf-8", "replace")
    offsets, index = [], 0
    for char in plain:
        offsets.append(min(index, len(raw) - 1) * step)
        index += len(char.encode()) if char != "\ufffd" else 1
    return plain, offsets


def squeezed_view(text: str) -> tuple[str, Positions] | None:
    """Join letters that were set apart: `4 1 1 1` and `j o e @ x . o r g`."""
    runs = list(_SPACED.finditer(text))
    if not runs:
        return None
    pieces: list[str] = []
    positions: list[int] = []
    last = 0
    for m in runs:
        pieces.append(text[last : m.start()] + m[0][::2])
        positions.extend(range(last, m.start()))
        positions.extend(range(m.start(), m.end(), 2))
        last = m.end()
    pieces.append(text[last:])
    positions.extend(range(last, len(text) + 1))
    return "".join(pieces), positions


def spoken_view(text: str) -> tuple[str, Positions, list[tuple[int, int]]] | None:
    """Write spelled digits as digits. Also returns where in `text` such runs stand."""
    words = [(m.start(), m.end(), _SPOKEN.get(fold(m[0]))) for m in _SPOKEN_WORD.finditer(text)]
    runs: list[list[tuple[int, int, str]]] = [[]]
    previous = -1
    for start, end, digit in words:
        if digit is None or (runs[-1] and text[previous:start].strip(" -,.\t\n")):
            runs.append([])
        if digit is not None:
            runs[-1].append((start, end, digit))
        previous = end
    runs = [run for run in runs if sum(digit not in _NO_DIGIT for _, _, digit in run) >= _FEWEST_SPOKEN]
    if not runs:
        return None
    pieces: list[str] = []
    positions: list[int] = []
    last = 0
    for run in runs:
        pieces.append(text[last : run[0][0]])
        positions.extend(range(last, run[0][0]))
        pieces.append("".join(digit for _, _, digit in run))
        positions.extend(start for start, _, _ in run)
        last = run[-1][1]
    pieces.append(text[last:])
    positions.extend(range(last, len(text) + 1))
    return "".join(pieces), positions, [(run[0][0], run[-1][1]) for run in runs]


def containers(text: str, known: list[Finding], *, limit_bytes: int) -> list[Container]:
    """Open base64, hex and what is compressed in them, but for what lies in a finding that is known: it goes as a whole.

    Raises BrokenContainerError where that must not go on.
    """
    found: list[Container] = []
    covered = Cover((f.start, f.end) for f in known) if known else None
    for m in _TOKEN.finditer(text):
        if covered and covered.holds(m.start(), m.end()):
            continue
        opened = _open_token(m[0], m.start(), m.end(), limit_bytes)
        if opened:
            found.append(opened)
    if not found and len(text) >= 23:
        for m in _HEX_SPACED.finditer(text):
            inner = _text_of(bytes.fromhex(re.sub(r"[ :,-]|0x", "", m[0])), m.start(), m.end(), limit_bytes)
            if inner:
                found.append(Container(m.start(), m.end(), inner[0], "hex:" + m[0][2] + inner[1]))
    return found


def _open_token(token: str, start: int, end: int, limit_bytes: int) -> Container | None:
    if _HEX_TOKEN.match(token):
        prefix = token[:2] if token[1] in "xX" else ""
        digits = token[len(prefix) :]
        if len(digits) % 2 == 0 and _may_be_packed(bytes.fromhex(digits[: 2 * _PROBE_BYTES])):
            inner = _text_of(bytes.fromhex(digits), start, end, limit_bytes)
            if inner:
                return Container(start, end, inner[0], "hex" + prefix + ":" + inner[1])
    opened = _open_base64(token, start, end, limit_bytes)
    if opened is None and (m := _STARTS.search(token, 1)):
        opened = _open_base64(token[m.start() :], start + m.start(), end, limit_bytes)
    return opened


def _open_base64(token: str, start: int, end: int, limit_bytes: int) -> Container | None:
    body = token.rstrip("=").replace("\r", "").replace("\n", "")
    if len(body) % 4 == 1 or (len(body) > 24 and body.isalpha() and (body.islower() or body.isupper())):
        return None
    url = "-" in body or "_" in body
    if url:
        body = body.replace("-", "+").replace("_", "/")
    try:
        head = binascii.a2b_base64(body[:16] + "=" * (-len(body[:16]) % 4))
    except (binascii.Error, ValueError):
        return None
    if not _may_be_packed(head):
        return None
    try:
        raw = binascii.a2b_base64(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        return None
    inner = _text_of(raw, start, end, limit_bytes)
    if inner is None:
        return None
    padded = token.endswith("=") or (len(body) % 4 == 0 and not url)
    return Container(start, end, inner[0], ("b64url" if url else "b64") + ("=" if padded else "") + ":" + inner[1])


def _compressed(head: bytes) -> bool:
    return head[:3] == b"\x1f\x8b\x08" or (head[:1] == b"\x78" and head[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"))


def _may_be_packed(head: bytes) -> bool:
    return _may_be_text(head) or _compressed(head)


def _may_be_text(head: bytes) -> bool:
    return not head[:_PROBE_BYTES].translate(None, _OF_TEXT)


def _text_of(raw: bytes, start: int, end: int, limit_bytes: int) -> tuple[str, str] | None:
    """Return (text, "" | "gzip" | "zlib") of what was opened, or None where it is no text."""
    kind = ""
    if _compressed(raw):
        kind = "gzip" if raw[:1] == b"\x1f" else "zlib"
        unpacker = zlib.decompressobj(wbits=31 if kind == "gzip" else 15)
        try:
            raw = unpacker.decompress(raw, limit_bytes + 1)
        except zlib.error:
            if kind == "zlib":
                return None  # two bytes are a weak sign
            raise BrokenContainerError(start, end) from None
        if kind == "zlib" and not unpacker.eof and (len(raw) < _SMALLEST_TEXT or not _may_be_text(raw)):
            return None  # likewise: `executeNodeAction` is no text that was packed
        if len(raw) > limit_bytes or not unpacker.eof or unpacker.unused_data:
            raise BrokenContainerError(start, end)
    elif not _may_be_text(raw):
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        if kind:
            raise BrokenContainerError(start, end) from None
        return None
    if len(text) < _SMALLEST_TEXT or _CONTROL.search(text, 0, 256):
        if kind and text:
            raise BrokenContainerError(start, end)
        return None
    return text, kind


def close(container: Container, inner: str) -> str:
    """Put masked text back into its container."""
    scheme, _, packing = container.kind.partition(":")
    raw = inner.encode()
    separator = ""
    if scheme == "hex" and packing[:1] in (" ", ",", "-", ":"):
        separator, packing = packing[0], packing[1:]
    if packing == "gzip":
        packer = zlib.compressobj(wbits=31)
        raw = packer.compress(raw) + packer.flush()
    elif packing == "zlib":
        raw = zlib.compress(raw)
    if scheme.startswith("hex"):
        return raw.hex(separator) if separator else scheme[3:] + raw.hex()
    body = (base64.urlsafe_b64encode(raw) if scheme.startswith("b64url") else base64.b64encode(raw)).decode()
    return body if scheme.endswith("=") else body.rstrip("=")
