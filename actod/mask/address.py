"""Postal addresses in free text: a street word with a house number, in the order of each country, or what stands for one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from actod.mask.finding import Finding
from actod.mask.keys import fold
from actod.mask.sieve import NO_WORD_BEFORE, SPACE, Look, in_ascii
from actod.mask.words import NOT_NAMES

_STREET_END = (
    "street|st|road|rd|avenue|ave|av|lane|ln|drive|dr|court|ct|boulevard|blvd|way|place|pl|square|sq|terrace|ter|close|crescent|cres|row|walk|"
    "grove|gardens?|hill|mews|parade|park|parkway|pkwy|highway|hwy|route|rte|circle|cir|alley|trail|trl|loop|plaza|pike|turnpike|crossing|"
    "ridge|view|vista|point|heights|green|mall|quay|wharf|yard|run|path|pass|bypass|freeway|expressway|motorway|throughway|causeway|"
    "islands?|mills?|village|springs?|shoals?|station|summit|tunnel|underpass|union|valleys?|viaduct|villages|walks|wells?|"
    "extensions?|falls|ferry|fields?|flats?|fords?|forest|forges?|forks?|fort|garden|gateway|glens?|groves?|harbors?|haven|hills|hollow|inlet|"
    "junctions?|keys?|knolls?|lakes?|land|landing|light|lights|locks?|lodge|manors?|meadows?|mission|mount|mountains?|neck|orchard|oval|overpass|"
    "pines?|plains?|ports?|prairie|radial|ramp|ranch|rapids?|rest|river|roads|shores?|spurs?|squares|stravenue|streams?|streets|centers?|cliffs?|club|common|"
    "corners?|coves?|creek|crest|curve|dale|dam|divide|estates?|bend|bluffs?|branch|bridge|brooks?|burgs?|camp|canyon|cape|center|bayou|beach|annex|arcade|"
    "nagar|marg|chowk|ganj|path|circle|road|salai|veedhi|gali|colony|enclave|layout|"
    "gatan|vägen|gata|väg|veien|gate|vej|gade|katu|tie|sokak|sokağı|caddesi|cad|bulvarı|utca|út|tér|ulice|náměstí|třída|strada|bulevardul|str"
)
_UNIT = r"(?:(?:,\s?|\s)(?:suite|ste|apt|apartment|unit|floor|fl|flat|room|rm|building|bldg|po box|appartamento|piso|piano|puerta|bloque|escalera|apto|bloco|m|lok|hus|leilighet)\.?\s?#?[\w/-]{1,8})"
_NUMBER_FIRST = re.compile(
    rf"[0-9](?<![\w.,:/-].)[0-9]{{0,5}}(?:[A-Za-z]|[-/][0-9]{{1,5}})?,?\s((?:[A-Z\u00c0-\u024f][\w'’.-]{{0,30}}\s){{1,5}})((?i:{_STREET_END}))\b\.?(?:\s(?:North|South|East|West|N|S|E|W|NW|NE|SW|SE)\b\.?)?{_UNIT}?",
)
_STREET_ENDINGS = tuple(
    (
        "straße|strasse|str.|weg|platz|allee|gasse|ring|damm|ufer|chaussee|steig|stieg|"
        "straat|laan|plein|steeg|singel|gracht|kade|dijk|boulevard|pad|hof|baan|dreef|park|dal|gaarde|horst|markt|wal|"
        "gatan|vägen|gränd|torget|stigen|backen|vej|gade|gata|veien|gaten|katu|tie|kuja|utca|sokak"
    ).split("|")
)
_SUFFIXED = re.compile(
    rf"(?<!\w)(?:[A-ZÀ-Ž][\w.'’-]{{0,30}}\s){{0,3}}[A-ZÀ-Ž][\w.-]{{1,40}}?(?i:{'|'.join(map(re.escape, _STREET_ENDINGS))})"
    r" [0-9]{1,5}(?![.,][0-9])\s?[a-zA-Z]?\b(?:[-/ ][0-9]{1,4}\b)?(?:[ -]?(?:[a-z]|I{1,3}|[a-h]{1,2}))?\b"
)
_PREFIXES = (
    r"(?i:rue|avenue|av\.|boulevard|bd|chemin|place|impasse|all[ée]e|quai|route|cours|square|passage|"
    r"via|viale|piazza|corso|vicolo|strada|contrada|borgo|stretto|incrocio|rotonda|canale|largo|salita|piazzale|lungomare|"
    r"calle|c/|avenida|avda\.?|plaza|paseo|camino|ronda|glorieta|pasaje|cuesta|rambla|acceso|alameda|urbanizaci[oó]n|vial|callej[oó]n|carretera|"
    r"ulica|ul\.|aleja|aleje|al\.|plac|pl\.|os\.|osiedle|rondo|rua|r\.|travessa|pra[çc]a|estrada|viela|rodovia|passarela|quadra|"
    r"condom[ií]nio|loteamento|vale|trevo|n[úu]cleo|morro|lagoa|ladeira|jardim|favela|distrito|colônia|ch[áa]cara|campo|aeroporto|[áa]rea|esplanada|fazenda|feira|"
    r"parque|p[áa]tio|recanto|residencial|setor|s[íi]tio|trecho|vereda|via|vila|str\.|strada|bulevardul|calea|aleea|ulice|n[áa]m[ěe]st[íi]|ul|straat|am|an der|im|zum|zur|auf der|unter den)"
)
_PREFIXED = re.compile(
    rf"(?<!\w)(?:[0-9]{{1,5}}(?:\s?(?:bis|ter|[a-zA-Z]))?,?\s)?{_PREFIXES}"
    r"\s(?:(?:de|du|des|la|le|les|del|della|dei|di|da|do|dos|das|d'|l'|el|los|las|van|der|den|y|e|św\.|gen\.|ks\.|dr\.?)\s?){0,3}"
    r"(?:[A-ZÀ-Ž0-9][\w'’.ª-]{0,30},?\s?(?:(?:de|du|des|la|le|del|della|di|da|do|dos|das|van|der|den|y|e|i)\s){0,2}){1,5}"
    r"(?:,?\s?(?:[nN][°ºr.]?\s?)?[0-9]{1,5}(?:[-/][0-9]{1,4})?\s?[a-zA-Z]?\b)?" + _UNIT + r"?"
)
# The street's word stands apart behind its name: Hungarian, Turkish, Finnish, Czech.
_WORDS_APART = r"(?:utca|út|útja|tér|tere|körút|sétány|köz|Caddesi|Cad\.|Sokağı|Sokak|Sok\.|Sk\.|Mahallesi|Mah\.|Bulvarı|Blv\.|katu|tie|kuja|ulice|náměstí|třída|nábřeží) "
_APART = re.compile(
    rf"(?<!\w)(?:[A-ZÀ-Ž\u0100-\u024f][\w.'’-]{{1,30}} ){{1,3}}{_WORDS_APART}"
    r"(?:[Nn]o:? ?)?\d{1,5}(?![.,]\d)(?:\s?/\s?\w{1,4})?"
)
_SHORTEST_CJK = 5
_SITE_ENDS = frozenset(
    "station point points run path row port ports ramp loop pass field fields center centers light lights crossing tunnel bridge gateway key keys "
    "drive dr unit park rest river place pl lock locks lane ln route rte hub walk way gate".split()
)
_SITE_STEM = re.compile(
    r"(?i:\b(?:lager|einlager\w{0,5}|auslager\w{0,5}|montage|stell|arbeits|lade|pack|park|stand|palett\w{0,3}|ablage|puffer|fahr|verfahr|f[öo]rder|transport|hub|"
    r"sicherheits|rettungs|flucht|schlepp|mess|pr[üu]f|werkzeug)(?:weg|platz|ring|hof|tor|damm|steig|baan|plein)\b)"
)
_DAY = re.compile(r"(?:am|im|zum) [0-9]", re.IGNORECASE)
_HEX = re.compile(r"[0-9A-Fa-f]{2} [0-9A-Fa-f]{2}\b")
_HEX_BEFORE = re.compile(r"(?<!\w)[0-9A-Fa-f]{2} \Z")
_HOUSE_NO = re.compile(
    r"(?<![\w])(?:H\.?\s?No\.?|House No\.?|Flat No\.?|Plot No\.?|Door No\.?|P\.?O\.? Box)\s?[\w/-]{1,8}(?:,\s?[\w .'-]{2,40}){0,4}|(?<![\w./-])[0-9]{1,3}[/-][0-9]{1,4},?\s(?:[A-Z][\w'-]{1,30}\s?){1,4}"
)
_WORD = re.compile(r"[^\W0-9_]{2,}")
_CAPITAL = r"[A-ZÀ-Ž\u0100-\u024f\u0386-\u03ab\u0400-\u042f\u0590-\u0eff][\w\u0590-\u0eff'’.-]{0,30}"
_POST_CODE = r"(?:[A-Z]{1,2}[- ])?(?:[0-9]{4,6}(?:-[0-9]{2,4})?|[0-9]{3} [0-9]{2}|[0-9]{2}-[0-9]{3}|[0-9]{4} [A-Z]{2}|[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9])"
_HOUSE = r"[0-9]{1,5}(?:\s?[a-zA-Z]\b)?(?:[/-][0-9]{1,5}[a-zA-Z]?)?"
# No street word is needed where a house number and a post code with its town stand together.
_WITH_POST_CODE = re.compile(
    rf"(?<![\w.,/:-])(?:({_HOUSE}),?\s)?{_CAPITAL}(?:\s{_CAPITAL}|\s(?:de|da|do|du|la|del|der|di|van|den)){{0,5}}(?:,?\s({_HOUSE})){{0,2}}"
    rf",?\s{_POST_CODE}\s({_CAPITAL})"
)
# Nor where somebody is said to live, or something to be brought.
_HOME = (
    r"\b(?:lives?|living|resid\w{2,6}|home|wohnt|wohnhaft|habite|domicili\w{1,6}|vive|reside|abita|mora|mieszka|zam\.|woont|bor|asuu|"
    r"address|adress\w?|anschrift|indirizzo|direcci[oó]n|endere[cç]o|adres)"
)
_BRING = (
    r"\b(?:deliver\w{0,4}|ship\w{0,4}|drop\w{0,4}(?:[ -]?off)?|pick\w{0,4}(?:[ -]?up)?|send|sent|bring|liefer\w{1,4}|zustell\w{1,4}|livr\w{1,4}|"
    r"entreg\w{1,4}|consegn\w{1,5}|dostarcz\w{1,4}|bezorg\w{1,4}|parcel|package|paket|p[äa]ckchen|colis|paquete|pacco|pakket|encomenda|paczk\w)"
)
_HOME_WORDS = re.compile(
    _HOME + r"\s?(?:is|ist|est|es|è|é|:|=)?\s(?:at|in|an?|au|en|na|em|te|op|i|w|på)?\s?\Z", re.IGNORECASE
)
_BRING_WORDS = re.compile(
    _BRING + r"\b[^.;:\n]{0,24}\b(?:to|for|für|pour|para|per|voor|dla|at|from|an|nach|à|au|a|en|in|na|em|do|op)\s\Z",
    re.IGNORECASE,
)
_NUMBER_AND_NAME = re.compile(rf"{_HOUSE},?\s({_CAPITAL})(?:\s{_CAPITAL}){{0,3}}")
_NAME_AND_NUMBER = re.compile(rf"({_CAPITAL})(?:\s[^\W0-9_][\w'’.-]{{0,30}}){{0,3}}\s{_HOUSE}")
_HAS_CAPITAL = re.compile(r"[A-ZÀ-Ž\u0370-\uffff](?:[^\W0-9_A-Z]|(?<=[A-Z][A-Z]) [A-Z]|(?<=[\u3005-\ud7af]))")
_HOUSE_LIKE = re.compile(r"[0-9](?<![\w:/-].)(?<![0-9][.,].)[0-9]{0,5}\s?[A-Za-z]{0,3}(?![\w:])")
_CJK = re.compile(r"[\u3005\u3007\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af\uf900-\ufaff]")
_CJK_ADDRESS = re.compile(
    r"(?:〒?\s?[0-9]{3}-?[0-9]{4}\s?)?[\u3005\u3400-\u9fff\u3040-\u30ff]{1,8}?[都道府県市区郡町村](?:[\u3005\u3007\u3400-\u9fff\u3040-\u30ff0-9０-９a-zA-Z－ー\-−]+\s?)*"
    r"|[\uac00-\ud7af]{1,8}(?:특별시|광역시|특별자치시|도|시|군|구)\s(?:[\uac00-\ud7af0-9\-()]+\s?){1,8}"
)
_TAIL = re.compile(
    r",?\s(?:(?:[A-Z]{1,2}[- ]?)?[0-9]{4,6}(?:[- ][0-9]{2,4})?|[0-9]{2}-[0-9]{3}|[0-9]{3} [0-9]{2}|[A-Z]{1,2}[0-9][A-Z0-9]?\s?[0-9][A-Z]{2})?(?:[A-Z]{2}\s)?\s?"
    r"(?:[A-ZÀ-Ž][\w'’.-]{1,30}(?:[ -](?:de|du|la|le|am|an|der|im|in|di|da|do|del|sur|sous|upon|[A-ZÀ-Ž][\w'’.-]{1,30})){0,5})?"
)


def _form(pattern: re.Pattern[str], rule: str) -> Look:
    def addresses(text: str) -> Iterator[Finding]:
        if not _may_hold_a_house(text):
            return
        for m in pattern.finditer(text):
            if any(map(str.isdigit, m[0])) and any(map(str.isalpha, m[0])) and not _on_site(rule, m):
                yield Finding(m.start(), _tail(text, m.end()), "address", rule, 0.7)

    return addresses


def _may_hold_a_house(text: str) -> bool:
    return _HAS_CAPITAL.search(text) is not None and _HOUSE_LIKE.search(text) is not None


def _cjk_addresses(text: str) -> Iterator[Finding]:
    for m in _CJK_ADDRESS.finditer(text) if _CJK.search(text) else ():
        if len(m[0].strip()) >= _SHORTEST_CJK or any(map(str.isdigit, m[0])):  # else a town's name alone
            yield Finding(m.start(), m.end(), "address", "address_cjk", 0.8)


def _on_site(rule: str, m: re.Match[str]) -> bool:
    """Whether a street's form names a place in a plant: "12 Packing Station", "Lagerplatz 12"."""
    if rule == "address_number_first":
        return m[2].lower() in _SITE_ENDS and all(fold(word) in NOT_NAMES for word in m[1].split())
    if (
        rule == "address_street_prefix"
        and _HEX.match(m[0])
        and _HEX_BEFORE.search(m.string, max(0, m.start() - 4), m.start())
    ):
        return True
    if rule == "address_street_prefix" and _DAY.match(m[0]):
        return True
    return rule == "address_street_suffix" and _SITE_STEM.search(m[0]) is not None


def _with_post_code(text: str) -> Iterator[Finding]:
    for m in _WITH_POST_CODE.finditer(text) if _may_hold_a_house(text) else ():
        words = [fold(word) for word in _WORD.findall(m[0])]
        if (m[1] or m[2]) and fold(m[3]) not in NOT_NAMES and any(word not in NOT_NAMES for word in words[:-1]):
            yield Finding(m.start(), _tail(text, m.end()), "address", "address_post_code", 0.65)


def _after_word(text: str) -> Iterator[Finding]:
    if not _may_hold_a_house(text):
        return
    for m in _NUMBER_AND_NAME.finditer(text):
        before = text[max(0, m.start() - 48) : m.start()]
        if fold(m[1]) not in NOT_NAMES and (_HOME_WORDS.search(before) or _BRING_WORDS.search(before)):
            yield Finding(m.start(), _tail(text, m.end()), "address", "address_after_word", 0.6)
    for m in _NAME_AND_NUMBER.finditer(text):
        before = text[max(0, m.start() - 48) : m.start()]
        if fold(m[1]) not in NOT_NAMES and (
            _HOME_WORDS.search(before) or (text[m.end() : m.end() + 2] == ", " and _BRING_WORDS.search(before))
        ):
            yield Finding(m.start(), _tail(text, m.end()), "address", "address_after_word", 0.6)


_BEFORE_A_NAME = rf"[0-9][A-Za-z]?[A-Z]?,?{SPACE}[A-Z?]"
# A street word with a house number, in the order of each country; or what stands for one.
ADDRESSES: tuple[tuple[str, Look], ...] = (
    (_BEFORE_A_NAME, _form(_NUMBER_FIRST, "address_number_first")),
    (f"(?i)(?:{in_ascii('|'.join(map(re.escape, _STREET_ENDINGS)))}) [0-9]", _form(_SUFFIXED, "address_street_suffix")),
    (NO_WORD_BEFORE + in_ascii(_PREFIXES) + SPACE, _form(_PREFIXED, "address_street_prefix")),
    (in_ascii(_WORDS_APART), _form(_APART, "address_street_apart")),
    (rf"[Nn]o\.?|NO\.?|[Bb]ox|[0-9],?{SPACE}[A-Z?]", _form(_HOUSE_NO, "address_house_no")),
    (_BEFORE_A_NAME, _with_post_code),
    (f"(?i)(?:{in_ascii(_HOME)}|{in_ascii(_BRING)})", _after_word),
    (r"\?", _cjk_addresses),
)


def _tail(text: str, end: int) -> int:
    """Take in post code and town that follow."""
    for _ in range(3):
        m = _TAIL.match(text, end)
        if not m or m.end() - end < 3 or not (text[end] == "," or m[0].strip(" ,")[:1].isdigit()):
            break
        end = m.end()
    return end
