"""Keys, tokens, passwords: what grants access to something."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from math import log2

from actod.mask.finding import Finding
from actod.mask.gate import digits_in
from actod.mask.sieve import SPACE, WORD, Sieve, plain_bytes

_T = r"[A-Za-z0-9_-]"
# (type, pattern). Each begins with a fixed prefix, so a scan is one alternation of literals.
_PREFIXED: tuple[tuple[str, str], ...] = (
    ("aws_key", r"A(?:KIA|SIA|ROA|IDA|GPA|NPA)[A-Z2-7]{16}"),
    (
        "git_token",
        rf"gh[pousr]_{_T}{{20,255}}|github_pat_{_T}{{22,255}}|gl(?:pat|dt|rt|ptt|cbt|ft|soat)-{_T}{{16,255}}|ATBB{_T}{{20,64}}",
    ),
    (
        "payment_key",
        rf"[srp]k_(?:live|test)_{_T}{{8,255}}|whsec_{_T}{{16,128}}|sq0(?:atp|csp|idp)-{_T}{{20,64}}|access_token\$\w{{16,128}}",
    ),
    ("model_key", rf"sk-{_T}{{16,255}}|(?:hf_|r8_|gsk_|pplx-|xai-|nvapi-|tgp_v1_|fw_|co_){_T}{{24,255}}"),
    (
        "cloud_key",
        rf"AIza{_T}{{30,60}}|ya29\.{_T}{{20,255}}|GOCSPX-{_T}{{20,64}}|do[opr]_v1_[a-f0-9]{{32,128}}|hv[sbr]\.{_T}{{20,255}}",
    ),
    (
        "cloud_key",
        rf"(?:(?:shp(?:at|ca|pa|ss)|glsa|NRAK|lin_api|dckr_pat|figd|PMAK|sntrys|atlasv1|tfe)[_-]|npm_|pul-){_T}{{16,255}}",
    ),
    (
        "cloud_key",
        rf"pypi-AgE{_T}{{16,255}}|SG\.{_T}{{16,64}}\.{_T}{{16,64}}|key-[0-9a-f]{{32}}|(?:AC|SK)[0-9a-f]{{32}}|EAAC{_T}{{30,255}}",
    ),
    (
        "chat_token",
        rf"xox[abceoprs]-{_T}{{10,255}}|xapp-{_T}{{10,255}}|(?:https?://)?hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{{8,255}}",
    ),
    ("chat_token", r"(?:https?://)?(?:\w{1,16}\.)?discord(?:app)?\.com/api/webhooks/[0-9]{1,24}/[\w-]{16,128}"),
    (
        "chat_token",
        r"(?:https?://)?[\w-]{1,63}\.webhook\.office\.com/[\w@/.-]{16,255}|(?:https?://)?open\.feishu\.cn/open-apis/bot/[\w/-]{16,128}",
    ),
    ("chat_token", r"[0-9]{8,10}:AA[\w-]{32,34}|[MNO][A-Za-z0-9]{23,25}\.[\w-]{6}\.[\w-]{27,38}"),
    ("acto_key", rf"acto_{_T}{{16,255}}"),
    ("jwt", rf"ey[JA-I]{_T}{{8,4096}}\.{_T}{{4,8192}}(?:\.{_T}{{0,1024}}){{0,3}}"),
)
_PREFIX = re.compile(
    r"(?<![A-Za-z0-9_])(?:" + "|".join(f"(?P<g{i}>{pattern})" for i, (_, pattern) in enumerate(_PREFIXED)) + ")"
)
_GROUP_TYPE = {f"g{i}": type_ for i, (type_, _) in enumerate(_PREFIXED)}
_PREFIX_SIGN = (
    r"(?:^|[^0-9A-Za-z_])(?:A(?:KIA|SIA|ROA|IDA|GPA|NPA|Iza|C[0-9a-f]{8}|TBB)|gh[pousr]_|github_pat_|gl(?:pat|dt|rt|ptt|cbt|ft|soat)-"
    r"|[srp]k_(?:live|test)_|whsec_|sq0|access_token\$|sk-|hf_|r8_|gsk_|pplx-|xai-|nvapi-|tgp_v1_|fw_|co_|ya29\.|GOCSPX-|do[opr]_v1_|hv[sbr]\."
    r"|shp|npm_|glsa|NRAK|lin_api|dckr_pat|figd|PMAK|sntrys|atlasv1|pul-|tfe[_-]|pypi-AgE|SG\.|key-[0-9a-f]{8}|SK[0-9a-f]{8}|EAAC"
    r"|xox|xapp-|[0-9]{8,10}:AA|[MNO][A-Za-z0-9]{23,25}\.|acto_|ey[JA-I])"
    r"|hooks\.slack|discord|webhook\.office|feishu"
)
_URL_SIGN = (
    r"://[^\s/]*@|(?i)(?:token|secret|password|key"
    "|[?&;#](?:sig|signature|hmac|code|ticket|k|auth|pw|pass|passwd|x-amz-[a-z-]{8,14}|x-goog-[a-z]{9,10}))="
)
_CONNECTION_SIGN = f"(?i)(?:Key|Signature|Password|Pwd){SPACE}?="
_OPTION_SIGN = f"(?:^|{SPACE})-(?:u|-user|p|P)"
_LOGIN_PAIR_SIGN = (
    rf"(?i)(?:log[ -]?[io]n|creds?|credentials?|zugang{WORD}*|anmeld{WORD}+|acceso|acc[e?]s|identifiants?|credencial{WORD}*|credenzial{WORD}"
    rf"|inlog{WORD}*|logowani{WORD}|p[r?]ihl[a?][s?]{WORD}+|giri[s?])[:=]?{SPACE}(?:[a-z]{{2,4}}{SPACE})?[0-9A-Za-z_?.@-]{{2,}}{SPACE}?/"
)
_SCHEME_SIGN = (
    r"(?i)\b(?:bearer|basic|digest|negotiate|api-?key|aws4-hmac-sha256|sharedaccesssignature|token token=|token|key)"
    r"[ :=]{1,2}\"?[a-z0-9._~+/=:|-]{8}"
)
_PEM_BEGIN = re.compile(r"-----\s?BEGIN (?:[A-Z0-9 ]{0,40} )?(?:PRIVATE KEY|SECRET)(?: BLOCK)?\s?-----")
_PEM_END = re.compile(r"-----\s?END (?:[A-Z0-9 ]{0,40} )?(?:PRIVATE KEY|SECRET)(?: BLOCK)?\s?-----")
_PEM_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,.-]*")
_SCHEME_WORD = re.compile(
    r"\b(Bearer|Basic|Digest|Negotiate|ApiKey|Api-Key|AWS4-HMAC-SHA256|SharedAccessSignature|Token token=|Token|Key)[ :=]{1,2}\"?"
    r"([A-Za-z0-9._~+/=:|-]{8,4096})",
    re.IGNORECASE,
)
_OPTION = re.compile(  # curl -u name:password, sshpass -p password, mysql -ppassword
    r"(?<!\S)-(?:u|-user) ?[\"']?[^\s:\"']{1,64}:([^\s\"']{4,256})|\bmosquitto_\w{3}\b[^\n]{0,120}?\s-P\s?[\"']?([^\s\"']{4,256})|\bsshpass\s-p\s?[\"']?([^\s\"']{4,256})|\b(?:mysql|mariadb)\w{0,8}\s[^\n]{0,80}?(?<!\S)-p([^\s\"']{4,256})"
)
_LOGIN_PAIR = re.compile(  # login name/password
    r"(?i:\b(?:log[ -]?[io]n|creds?|credentials?|zugang\w{0,6}|anmeld\w{1,6}|acceso|acc[eè]s|identifiants?|credencial\w{0,3}|credenzial\w|"
    r"inlog\w{0,5}|logowani\w|p[řr]ihl[aá][šs]\w{2,4}|giri[şs]))\b[:=]?\s(?:(?i:with|as|is|mit|als|con|avec|com|met)\s)?"
    r"[\w.@-]{2,64}\s?/\s?([^\s\"'<>,;]{5,64})"
)
_HEX_PAIRS = re.compile(r"(?:[0-9A-Fa-f]{2}[:-]){5,}[0-9A-Fa-f]{2}\Z")
_STRONG_SCHEMES = frozenset(("bearer", "basic", "negotiate", "apikey", "api-key", "sharedaccesssignature", "token token="))
_URL_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,24})://([^\s/@:\"'<>]{0,128}):([^\s/\"'<>]{1,256}?)@(?=[\w\[.%-])")
_URL_USER_TOKEN = re.compile(r"(https?|git|ssh)://([A-Za-z0-9_-]{16,255})@(?=[\w\[.-])")
_URL_PARAMETER = re.compile(
    r"[?&;#](?:[\w.-]{0,24}(?:token|secret|password|api[_-]?key|access[_-]?key)|sig|signature|hmac|code|ticket|key|k|auth|pw|pass|passwd|x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential))"
    r"=([^\s&;#\"'<>]{6,4096})",
    re.IGNORECASE,
)
_CONNECTION_KEY = re.compile(
    r"(?:AccountKey|SharedAccessKey|SharedAccessSignature|Password|Pwd)\s?=\s?([^\s;\"']{4,1024})(?=;|\Z|[\"'])",
    re.IGNORECASE,
)
_WEB_SCHEMES = frozenset(
    "http https rtsp rtsps ftp ftps sftp ssh git ws wss rtmp smb svn scp webdav dav git+https git+ssh onvif srt".split()
)
_MIXED = 2  # classes of characters
OPAQUE = 40  # characters of an AWS secret key
_OPAQUE_40 = re.compile(r"[A-Za-z0-9+/](?<![A-Za-z0-9+/_=-].)[A-Za-z0-9+/]{39}(?![A-Za-z0-9+/_=-])")
_CLASSES = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"[0-9]"), re.compile(r"[^A-Za-z0-9]"))
_HEX = re.compile(r"[0-9a-fA-F-]+\Z")


def secrets(text: str) -> list[Finding]:
    """Find what carries its own sign: prefixes, PEM blocks, authorisation headers, passwords in URLs."""
    return [f for look in SIGNED.looks(plain_bytes(text)) for f in look(text)]


def _prefixed(text: str) -> Iterator[Finding]:
    for m in _PREFIX.finditer(text):
        yield Finding(m.start(), m.end(), _GROUP_TYPE[m.lastgroup or "g0"], "secret_prefix", 0.98)


def whole_pem(text: str) -> Finding | None:
    """Return the finding where text is one key from end to end, and nothing else in it needs a look."""
    begin = _PEM_BEGIN.match(text, len(text) - len(text.lstrip()))
    end = _PEM_END.search(text, begin.end()) if begin else None
    if begin is None or end is None or text[end.end() :].strip():
        return None
    return Finding(begin.start(), end.end(), "private_key", "pem", 0.99)


def _pem(text: str) -> Iterator[Finding]:
    position = 0
    while begin := _PEM_BEGIN.search(text, position):
        end = _PEM_END.search(text, begin.end())
        # Without its end the block reaches as far as its alphabet does: a cut key is still a key.
        stop = end.end() if end else _PEM_BODY.match(text, begin.end()).end()  # type: ignore[union-attr]
        yield Finding(begin.start(), stop, "private_key", "pem", 0.99)
        position = max(stop, begin.end())


def _url_secrets(text: str) -> Iterator[Finding]:
    if "://" not in text:
        return
    for m in _URL_PASSWORD.finditer(text):
        type_ = "url_credential" if m[1].lower() in _WEB_SCHEMES else "connection_string"
        yield Finding(m.start(3), m.end(3), type_, "url_password", 0.97)
    for m in _URL_USER_TOKEN.finditer(text):
        if looks_random(m[2]):
            yield Finding(m.start(2), m.end(2), "url_credential", "url_user_token", 0.9)
    for m in _URL_PARAMETER.finditer(text):
        mixed = classes(m[1]) >= 2 and (
            any(map(str.isdigit, m[1])) or not m[0][1:].lower().startswith(("k", "code", "ticket"))
        )
        if mixed or looks_random(m[1]):
            yield Finding(m.start(1), m.end(1), "url_credential", "url_parameter", 0.85)


def _connection_keys(text: str) -> Iterator[Finding]:
    for m in _CONNECTION_KEY.finditer(text) if ";" in text else ():
        yield Finding(m.start(1), m.end(1), "connection_string", "connection_key", 0.9)


def _options(text: str) -> Iterator[Finding]:
    for m in _OPTION.finditer(text) if " -" in text else ():
        group = m.lastindex or 1
        yield Finding(m.start(group), m.end(group), "password", "command_option", 0.8)


def _login_pairs(text: str) -> Iterator[Finding]:
    for m in _LOGIN_PAIR.finditer(text):
        kinds, digits = classes(m[1]), digits_in(m[1])
        if kinds > _MIXED or (kinds == _MIXED and 1 < digits < len(m[1]) - 1):  # `login screen/page2` is none
            yield Finding(m.start(1), m.end(1), "password", "login_pair", 0.75)


def _authorisation(text: str) -> Iterator[Finding]:
    for m in _SCHEME_WORD.finditer(text):
        scheme, value = m[1].lower(), m[2]
        if _HEX_PAIRS.match(value):
            continue  # a digest that is one
        header = "uthorization" in text[max(0, m.start() - 24) : m.start()]
        if (
            header
            or (scheme in _STRONG_SCHEMES and (len(value) >= 16 or looks_random(value)))
            or (len(value) >= 12 and looks_random(value))
        ):
            yield Finding(m.start(2), m.end(2), "bearer", "authorisation", 0.95 if header else 0.85)


SIGNED = Sieve(
    (_PREFIX_SIGN, _prefixed),
    ("-----", _pem),
    (_URL_SIGN, _url_secrets),
    (_CONNECTION_SIGN, _connection_keys),
    (_OPTION_SIGN, _options),
    (_LOGIN_PAIR_SIGN, _login_pairs),
    (_SCHEME_SIGN, _authorisation),
)


def opaque_tokens(text: str) -> Iterator[Finding]:
    """Find 40 characters of base64 that are no digest: the form of an AWS secret key."""
    for m in _OPAQUE_40.finditer(text):
        if not _HEX.match(m[0]) and looks_random(m[0]) and not _holds_text(m[0]):
            yield Finding(m.start(), m.end(), "aws_key", "opaque_40", 0.7)


_COMPRESSED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def _holds_text(token: str) -> bool:
    """Whether it is base64 of text or of what is compressed: then it is opened, not guessed about."""
    raw = base64.b64decode(token)
    return raw[:2] in _COMPRESSED or (raw.isascii() and not any(byte < 9 for byte in raw))


def classes(text: str) -> int:
    """How many of lower case, upper case, digits and signs occur."""
    return sum(bool(pattern.search(text)) for pattern in _CLASSES)


def entropy_bits(text: str) -> float:
    """Shannon entropy in bits per character."""
    size = len(text)
    return log2(size) - sum(n * log2(n) for n in map(text.count, set(text)) if n > 1) / size if size else 0.0


def looks_random(text: str) -> bool:
    """Whether a word looks drawn, not written: mixed classes (or hex) and few repeats."""
    size = len(text)
    if size < 8:
        return False
    text = text[:256]
    if _HEX.match(text):
        return size >= 16 and entropy_bits(text) > 2.6 and not text.isdigit()
    kinds = classes(text)
    if not any(map(str.isdigit, text)):
        turns = sum(a.islower() and b.isupper() for a, b in itertools.pairwise(text))
        return size >= 16 and turns >= 4 and kinds >= 2
    return kinds >= 2 and (size >= 12 or kinds >= 3) and entropy_bits(text) > 2.5
