#!/usr/bin/env python3
"""generate2.py [N] [SEED] -- a second labelled corpus (personal data and secrets in robot telemetry) in the form of the first,
so that its score.py runs unchanged.  Written without sight of any masker.  Standard library only; seeded; ~2,000 messages, a third clean.
The label form (tree -> payload + spans + negatives + reference) follows the open generator; values, templates, keys, topics, languages,
hiding places and hard negatives are new.  All persons, numbers and secrets are made up; e-mail addresses use reserved domains."""
import base64, gzip, html, json, os, random, string, sys, unicodedata, urllib.parse
from data2 import *
MARK = "\u00a7"
UP, LO, DI, HX = string.ascii_uppercase, string.ascii_lowercase, string.digits, "0123456789abcdef"
B62 = string.ascii_letters + DI; B64U = B62 + "-_"

# ------------------------------------------------------------------------------------------------ tree -> message + labels
class S:                       # one sensitive run of text: surface, what of it counts as leaked (cores), true value, hiding place
    def __init__(s, type, surface, cores, value=None, enc="plain"): s.type, s.surface, s.cores, s.value, s.enc = type, surface, cores, value or surface, enc
class Txt:                     # str and S in a row
    def __init__(s, *parts): s.parts = parts
class Num:                     # a sensitive number
    def __init__(s, type, val, cores, ref=0, enc="int"): s.type, s.val, s.cores, s.ref, s.enc = type, val, cores, ref, enc
class Split:                   # a value spread over the items of a list
    def __init__(s, type, items, cores, value): s.type, s.items, s.cores, s.value = type, items, cores, value
class D:                       # object whose keys may be S
    def __init__(s, *pairs): s.pairs = pairs
class Enc:                     # string holding an encoded object (kind) or text
    def __init__(s, kind, inner): s.kind, s.inner = kind, inner
class Skip:                    # neither sensitive nor a negative (debatable)
    def __init__(s, val): s.val = val

def esc(k): return str(k).replace("~", "~0").replace("/", "~1")
def yq(v): v = str(v); return "|\n  " + v.replace("\n", "\n  ") if "\n" in v else f'"{v}"' if any(c in v for c in ":#{}[]@&*!%") else v
def encode(kind, o):
    J = lambda x: json.dumps(x, ensure_ascii=False, separators=(",", ":"))
    b = J(o).encode()
    x = lambda v: html.escape(str(v))
    if kind == "json": return J(o)
    if kind == "jsonpretty": return json.dumps(o, ensure_ascii=False, indent=2)
    if kind == "jsonascii": return json.dumps(o)
    if kind == "jsonjson": return J({"seq": 3, "inner": J(o)})
    if kind == "b64json": return base64.b64encode(b).decode()
    if kind == "b64url": return base64.urlsafe_b64encode(b).decode().rstrip("=")
    if kind == "datauri": return "data:application/json;base64," + base64.b64encode(b).decode()
    if kind == "gzb64": return base64.b64encode(gzip.compress(b, mtime=0)).decode()
    if kind == "hex": return b.hex()
    if kind == "hex0x": return "0x" + b.hex().upper()
    if kind == "pctjson": return urllib.parse.quote(J(o))
    if kind == "url": return "https://fleet.example/api/v2/ack?" + urllib.parse.urlencode(o)
    if kind == "urlraw": return "/cb?" + "&".join(f"{k}={urllib.parse.quote(str(v), safe='@:+ ')}" for k, v in o.items())
    if kind == "yaml": return "---\n" + "".join(f"{k}: {yq(v)}\n" for k, v in o.items())
    if kind == "ini": return "[extra]\n" + "".join(f"{k} = {v}\n" for k, v in o.items())
    if kind == "kvsemi": return ";".join(f"{k}={v}" for k, v in o.items())
    if kind == "logfmt": return "lvl=info " + " ".join(f'{k}="{v}"' for k, v in o.items())
    if kind == "xml": return "<Ereignis>" + "".join(f"<{k}>{x(v)}</{k}>" for k, v in o.items()) + "</Ereignis>"
    if kind == "xmlattr": return "<evt " + " ".join(f'{k}="{x(v)}"' for k, v in o.items()) + "/>"
    if kind == "htmlxml": return html.escape("<rec>" + "".join(f"<{k}>{v}</{k}>" for k, v in o.items()) + "</rec>")
    if kind == "csv": return ";".join(map(str, o.keys())) + "\r\n" + ";".join(str(v) for v in o.values()) + "\r\n"
    if kind == "tsv": return "\t".join(map(str, o.keys())) + "\n" + "\t".join(str(v) for v in o.values())
    if kind == "pydict": return repr(o)
    raise ValueError(kind)

class Mat:
    """Materialise a tree; every scalar leaf that holds nothing sensitive (and is not under a sensitive key) is a negative."""
    def __init__(s, ref=False): s.ref, s.spans, s.negs, s.n = ref, [], [], 0
    def text(s, t, path, loc="value", spans=None):
        out, spans = "", s.spans if spans is None else spans
        for p in t.parts:
            if not isinstance(p, S): out += p; continue
            if s.ref: out += MARK; continue
            spans.append(dict(path=path, start=len(out), end=len(out) + len(p.surface), type=p.type, value=p.value, enc=p.enc if loc == "value" else loc, loc=loc, cores=p.cores))
            out += p.surface
        return out
    def span(s, path, n, start=0, **k): s.spans.append(dict(path=path, start=start, end=n, loc="value", **k))
    def go(s, x, path="", neg=True):
        if isinstance(x, S): x = Txt(x)
        if isinstance(x, Txt): return s.text(x, path)
        if isinstance(x, Skip): return x.val
        if isinstance(x, Num):
            if s.ref: return x.ref
            s.span(path, len(json.dumps(x.val)), type=x.type, value=x.val, enc=x.enc, cores=x.cores); return x.val
        if isinstance(x, Split):
            if s.ref: return [MARK if isinstance(i, str) else 0 for i in x.items]
            s.span(path, 0, type=x.type, value=x.value, enc="split", cores=x.cores); return list(x.items)
        if isinstance(x, Enc):
            sub = Mat(s.ref); out = encode(x.kind, sub.go(x.inner))
            for sp in sub.spans:
                v = sp["value"] if isinstance(sp["value"], str) else json.dumps(sp["value"]); i = out.find(v)
                sp.update(path=path, start=max(i, 0), end=i + len(v) if i >= 0 else len(out), inner=sp["path"], enc=x.kind if sp["enc"] in ("plain", "int") else x.kind + "+" + sp["enc"])
                s.spans.append(sp)
            if not sub.spans and not s.ref and neg: s.negs.append(path)          # a clean box must stay as it is
            return out
        if isinstance(x, dict): x = D(*x.items())
        if isinstance(x, D):
            out = {}
            for k, v in x.pairs:
                n2 = neg
                if isinstance(k, S):
                    n2, t = False, Txt(k)
                    if s.ref: s.n += 1; k = s.text(t, path) + str(s.n)
                    else:
                        tmp = []; k = s.text(t, path, "key", tmp)
                        for sp in tmp: sp["path"] = path + "/" + esc(k); s.spans.append(sp)
                out[k] = s.go(v, path + "/" + esc(k), n2)
            return out
        if isinstance(x, (list, tuple)):
            if len(x) > 12 and not any(isinstance(i, (S, Txt, Num, Split, D, Enc, Skip, dict, list)) for i in x):
                if neg: s.negs.append(path)                                       # long arrays count once
                return list(x)
            return [s.go(v, f"{path}/{i}", neg) for i, v in enumerate(x)]
        if neg: s.negs.append(path)
        return x

# ------------------------------------------------------------------------------------------------ values
def digits(s): return "".join(c for c in s if c in DI)
def alnum(s): return "".join(c for c in s if c.isalnum())
def A(s, k=4): return ["alnum", alnum(s).lower(), k]       # any run of k characters surviving is a leak
def W(s): return ["alnum", alnum(s).lower(), 0]            # the whole
def R(s, k=0): return ["raw", s.lower(), k]
def luhn(d): return str(-sum((lambda n: n * 2 - 9 if n > 4 else n * 2)(int(c)) if i % 2 == 0 else int(c) for i, c in enumerate(reversed(d))) % 10)
def fold(s): return "".join(c for c in unicodedata.normalize("NFKD", s.lower().replace("ı", "i").replace("ł", "l").replace("ø", "o").replace("ß", "ss")) if c in LO)
def mrz_ck(t): return str(sum((0 if c == "<" else int(c, 36)) * (7, 3, 1)[i % 3] for i, c in enumerate(t)) % 10)
VD = [[(a + b) % 5 if a < 5 and b < 5 else 5 + (a + b) % 5 if a < 5 else 5 + (a - b) % 5 if b < 5 else (a - b) % 5 for b in range(10)] for a in range(10)]   # dihedral group D5
VP = [list(range(10))]
for _ in range(7): VP.append([[1, 5, 7, 6, 2, 8, 3, 0, 9, 4][d] for d in VP[-1]])
VI = [next(j for j in range(10) if VD[i][j] == 0) for i in range(10)]

class V:
    """Value makers.  `strict`: a form that can be told without any cue."""
    def __init__(s, seed): s.r = random.Random(seed); s.lang = "en"
    def al(s, n, a=B62): return "".join(s.r.choice(a) for _ in range(n))
    def dg(s, n, first=DI): return s.al(1, first) + s.al(n - 1, DI)
    def fill(s, f): return "".join(s.dg(1) if c == "#" else s.al(1, UP) if c == "@" else s.al(1, HX) if c == "^" else c for c in f)
    def group(s, v, gs, sep):
        out, i = [], 0
        for g in gs: out.append(v[i:i + g]); i += g
        return sep.join(x for x in out + [v[i:]] if x)
    # -- persons
    def names(s, lang=None):
        f, l = NAMES[lang or s.lang]; return s.r.choice(f.split()), s.r.choice(l.split())
    def tok(s, x): return R(x, 4 if len(x) > 4 and ord(x[0]) < 0x2e80 else 0)
    def person(s, t="person", style=None):
        a, b = s.names(); r = s.r; L = s.lang
        if t == "person_text" and not style: style = r.choice(["full"] * 6 + ["UPPER", "init", "three", "title"])     # "Last, First" does not stand in a sentence
        if L in ("ja", "ko"): full = r.choice([b + a, b + a, f"{b} {a}"]); return S(t, full, [W(full), R(a) if len(a) > 1 else W(full)])
        first, second = (b, a) if L == "hu" else (a, b)
        st = style or r.choice(["full"] * 6 + ["last,first", "UPPER", "init", "three", "title"])
        if st == "last,first": full = f"{b}, {a}"
        elif st == "UPPER": full = f"{b.upper()} {a}"
        elif st == "init" and len(b) > 3: full = f"{a[0]}. {b}"
        elif st == "three": full = f"{first} {s.names()[1] if L in ('pt', 'es') else s.names()[0]} {second}" if L != "hu" else f"{b} {a}"
        elif st == "title": full = TITLE.get(L, "Dr.") + f" {first} {second}"
        elif st == "given": full = a
        else: full = f"{first} {second}"
        toks = [x for x in full.replace(TITLE.get(L, "Dr."), "").replace("-", " ").replace(",", " ").replace(".", " ").split() if len(x) >= 2]
        return S(t, full, [s.tok(x) for x in toks] + [W(full)])
    def person_text(s): return s.person("person_text", "given" if s.r.random() < .12 and s.lang not in ("ja", "ko") else None)
    def email(s, strict=False):
        r = s.r; L = r.choice([x for x in NAMES if x not in ("ja", "ko")]); a, b = map(fold, s.names(L))
        loc = r.choice([f"{b}.{a}", f"{a[0]}.{b}", f"{a}{r.randint(60, 99)}", f"{b}{a[:2]}", f"{a}_{b}", f"x{s.dg(6)}", f"{a}.{b}-ext", f"{b.upper()}.{a[0].upper()}", f"{a}+shift{r.randint(1, 3)}", f"{a}.{b[0]}.{s.dg(2)}"])
        return S("email", f"{loc}@{r.choice(DOMAINS)}", [A(loc)])
    def phone(s, strict=False):
        c = s.r.choice(list(PHONES)) if s.lang not in PHONES or s.r.random() < .4 else s.lang
        v = s.fill(s.r.choice([f for f in PHONES[c] if not strict or f.startswith("+")])); return S("phone", v, [A(digits(v)[-8:])])
    def card(s, strict=False):
        p, n = s.r.choice([("4", 16), ("4", 16), ("52", 16), ("54", 16), ("2720", 16), ("34", 15), ("38", 14), ("6011", 16), ("3566", 16), ("6212", 16), ("6759", 16), ("9792", 16), ("6250", 19)])
        b = p + s.dg(n - 1 - len(p)); b += luhn(b)
        g = (4, 6, 5) if n == 15 else (4, 6, 4) if n == 14 else (6, 13) if n == 19 else (4, 4, 4, 4)
        return S("card", s.group(b, g, s.r.choice(["", " ", "-", "\u00a0", *([".", "  "] if n < 19 else [])])), [A(b)])
    def iban(s, strict=False):
        r = s.r; c = r.choice("CZ PT HU PL TR IT FI NO LU GR RO DK IE AT DE NL".split()); w = lambda t, ws: sum(int(x) * y for x, y in zip(t, ws))
        if c == "CZ":
            while True:
                p, a = s.dg(6), s.dg(10)
                if w(p, (10, 5, 8, 4, 2, 1)) % 11 == 0 == w(a, (6, 3, 7, 9, 10, 5, 8, 4, 2, 1)) % 11: break
            bb = r.choice(["0100", "0300", "0800", "2010"]) + p + a
        elif c == "PT": b = s.dg(19); bb = b + f"{98 - int(b + '00') % 97:02d}"
        elif c == "HU":
            b = s.dg(7); b += str(-w(b, (9, 7, 3, 1, 9, 7, 3)) % 10); a = s.dg(15); bb = b + a + str(-w(a, (9, 7, 3, 1) * 4) % 10)
        elif c == "PL": b = s.dg(7); bb = b + str(-w(b, (3, 9, 7, 1, 3, 9, 7)) % 10) + s.dg(16)
        elif c == "TR": bb = s.dg(5) + "0" + s.dg(16)
        elif c == "IT":
            b = s.dg(22); bb = chr(65 + sum(CFODD[int(x)] if i % 2 == 0 else int(x) for i, x in enumerate(b)) % 26) + b
        elif c == "FI": b = s.dg(13); bb = b + luhn(b)
        elif c == "NO":
            while True:
                b = s.dg(10); k = -w(b, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
                if k < 10: break
            bb = b + str(k)
        else: bb = {"LU": "################", "GR": "#######################", "RO": "@@@@################", "DK": "##############", "IE": "@@@@##############", "AT": "################", "DE": "##################", "NL": "@@@@##########"}[c]; bb = s.fill(bb)
        v = f"{c}{98 - int(''.join(str(int(ch, 36)) for ch in bb + c + '00')) % 97:02d}{bb}"
        f = r.choice(["plain", "4", "4", "dash", "nbsp", "lower", "lower4"])
        t = v if f in ("plain", "lower") else s.group(v, [4] * 8, {"dash": "-", "nbsp": "\u00a0"}.get(f, " "))
        return S("iban", t.lower() if "lower" in f else t, [A(v[4:])])
    # -- national ids
    def us_ssn(s):
        v = f"{s.r.choice([x for x in range(1, 900) if x != 666]):03d}{s.r.randint(1, 99):02d}{s.r.randint(1, 9999):04d}"
        return S("us_ssn", s.group(v, (3, 2, 4), s.r.choice(["-", "", ".", " ", " - "])), [A(v)])
    def uk_nino(s):
        while True:
            p = s.al(1, "ABCEGHJKLMNOPRSTWXYZ") + s.al(1, "ABCEGHJKLMNPRSTWXYZ")
            if p not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ"): break
        d = s.dg(6); v = s.group(p + d + s.al(1, "ABCD"), (2, 2, 2, 2, 1), s.r.choice(["-", "", ".", " "])); return S("uk_nino", v.lower() if s.r.random() < .25 else v, [A(d)])
    def de_steuerid(s):
        while True:
            ds = list(DI); s.r.shuffle(ds); ds = ds[:9]; ds.append(s.r.choice(ds)); s.r.shuffle(ds)
            if ds[0] != "0": break
        p = 10
        for c in ds: p = 2 * ((int(c) + p) % 10 or 10) % 11
        v = "".join(ds) + str((11 - p) % 10); return S("de_steuerid", s.group(v, (2, 3, 3, 3), s.r.choice(["", " ", "-", "/", "."])), [A(v)])
    def in_aadhaar(s):
        b = s.dg(11, "23456789"); c = 0
        for i, ch in enumerate(reversed(b)): c = VD[c][VP[(i + 1) % 8][int(ch)]]
        v = b + str(VI[c]); return S("in_aadhaar", s.group(v, (4, 4, 4), s.r.choice(["", "-", ".", " ", "\u2013"])), [A(v)])
    def br_cpf(s):
        b = s.dg(9)
        for n in (10, 11): b += str(sum(int(c) * (n - i) for i, c in enumerate(b)) * 10 % 11 % 10)
        return S("br_cpf", s.r.choice([b, f"{b[:3]}.{b[3:6]}.{b[6:9]}-{b[9:]}", f"{b[:3]} {b[3:6]} {b[6:9]} {b[9:]}", f"{b[:9]}-{b[9:]}", f"{b[:3]}.{b[3:6]}.{b[6:9]}/{b[9:]}"]), [A(b)])
    def fr_nir(s):
        r = s.r; dep = r.choice(["2A", "2B"]) if r.random() < .15 else f"{r.randint(1, 95):02d}".replace("20", "21")
        b = f"{r.choice('12')}{r.randint(50, 99):02d}{r.randint(1, 12):02d}{dep}{r.randint(1, 899):03d}{r.randint(1, 899):03d}"
        v = b + f"{97 - int(b.replace('2A', '19').replace('2B', '18')) % 97:02d}"
        return S("fr_nir", r.choice([v, f"{b} {v[-2:]}", s.group(v, (1, 2, 2, 2, 3, 3, 2), r.choice([" ", ".", "-", "\u00a0"]))]), [A(v)])
    def es_dni(s):
        d = s.dg(8); n = d
        if s.r.random() < .35: d = s.r.choice("XYZ") + d[1:]; n = str("XYZ".index(d[0])) + d[1:]
        c = "TRWAGMYFPDXBNJZSQVHLCKE"[int(n) % 23]
        return S("es_dni", s.r.choice([d + c, d + " " + c, d + "-" + c, (d + c).lower()] + ([f"{d[:2]}.{d[2:5]}.{d[5:]}-{c}"] * 2 if d.isdigit() else [f"{d[0]}-{d[1:]}-{c}"])), [A(d)])
    def pl_pesel(s):
        y = s.r.randint(1950, 2007); b = f"{y % 100:02d}{s.r.randint(1, 12) + (20 if y > 1999 else 0):02d}{s.r.randint(1, 28):02d}" + s.dg(4)
        v = b + str(-sum(int(c) * w for c, w in zip(b, (1, 3, 7, 9) * 3)) % 10); return S("pl_pesel", s.group(v, s.r.choice([(11,), (11,), (6, 5), (2, 2, 2, 5)]), s.r.choice([" ", "-"])), [A(v)])
    def it_cf(s, strict=False):
        con = "BCDFGLMNPRSTVZ"; day = s.r.randint(1, 28) + s.r.choice([0, 40])
        b = s.al(6, con) + f"{s.r.randint(50, 99):02d}" + s.al(1, "ABCDEHLMPRST") + f"{day:02d}" + s.al(1, "ABCDEFGHIL") + s.dg(3)
        v = b + chr(65 + sum(CFODD[int(c, 36) if c.isdigit() else ord(c) - 65 + 10] if i % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for i, c in enumerate(b)) % 26)
        f = s.r.choice(["", "", "sp", "low"]); return S("it_cf", s.group(v, (3, 3, 5, 5), " ") if f == "sp" else v.lower() if f == "low" else v, [A(v)])
    def nl_bsn(s):
        while True:
            b = s.dg(8, "0123456789"); k = sum(int(c) * (9 - i) for i, c in enumerate(b)) % 11
            if k < 10 and b[:2] != "00": break
        v = b + str(k); return S("nl_bsn", s.group(v, *s.r.choice([((9,), ""), ((3, 3, 3), "."), ((3, 3, 3), " "), ((4, 2, 3), "-"), ((3, 2, 4), "-")])), [A(v)])
    # -- network and place
    def ipv4(s, strict=False):
        r = s.r; t = list(map(str, r.choice([[10, r.randint(1, 250)], [192, 168], [172, r.randint(16, 31)], [100, r.randint(64, 120)], [r.choice([62, 77, 88, 109, 151, 178, 195, 217]), r.randint(1, 250)]]) + [r.randint(2, 254), r.randint(11, 254)]))
        v = ".".join(t); f = r.choice(["p", "p", "p", "port", "cidr", "pad", "aws"]) if not strict else "p"
        sf = {"port": v + ":" + str(r.choice([502, 1883, 4840, 8080, 11311])), "cidr": v + "/24", "pad": ".".join(x.zfill(3) for x in t), "aws": "ip-" + "-".join(t)}.get(f, v)
        return S("ipv4", sf, [R(".".join(t[1:])), R(".".join(t[:3]) + "."), W("".join(t))] + ([A(sf, 9)] if f == "pad" else []))
    def ipv6(s, strict=False):
        r = s.r; h = lambda: f"{r.randint(4096, 65535):x}"; f = r.choice(["full", "comp", "ll", "ula", "zone", "UP", "mapped"])
        if f == "mapped": t = f"{r.choice([62, 88, 151])}.{r.randint(10, 250)}.{r.randint(10, 250)}.{r.randint(10, 250)}"; return S("ipv6", "::ffff:" + t, [R(t)])
        tail = [h() for _ in range(4)]
        pre = {"full": ["2a00", h(), h(), h()], "comp": ["2003", h(), "", ""], "ll": ["fe80", ""], "zone": ["fe80", ""], "ula": ["fd" + s.al(2, HX), h(), h(), ""], "UP": ["2A04", h(), h(), h()]}[f]
        if f == "comp": pre = ["2003", h(), ""]; tail = tail[1:]
        v = ":".join(pre + tail); sf = v.upper() if f == "UP" else v + r.choice(["%eth0", "%wlp2s0"]) if f == "zone" else v
        return S("ipv6", sf, [R(":".join(tail[-2:])), R(":".join(tail[:2]))] + ([R(":".join(pre[:3]) + ":")] if f in ("full", "ula", "UP") else []))
    def mac(s, strict=False):
        h = s.al(12, HX); p = [h[i:i + 2] for i in range(0, 12, 2)]; f = s.r.choice([":", "-", "cisco"] + ([] if strict else ["bare", "_", " "]))
        v = s.group(h, (4, 4, 4), ".") if f == "cisco" else h if f == "bare" else f.join(p); return S("mac", v.upper() if s.r.random() < .5 else v, [A(h[6:])])
    def ll(s):
        a, b = s.r.choice(CITIES); n = s.r.choice([5, 6, 7, 7, 9])
        def m(x):
            while True:
                v = round(x + s.r.uniform(-.25, .25), n); t = f"{v:.{n}f}".split(".")[1]
                if t[-1] != "0" and t[3:5] != "00": return v
        return m(a), m(b)
    def gps_num(s):                        # -> (key, tree), several shapes
        a, b = s.ll(); n = lambda v: Num("gps_num", v, [["gps", repr(v), 0]], round(v, 2), "num")
        e7 = lambda v: Num("gps_num", int(round(v * 1e7)) | 1, [["gps", repr(v), 0]], int(round(v, 2) * 100) * 10**5, "e7")
        return s.r.choice([("polohaWGS84", {"sirka": n(a), "delka": n(b)}), ("standort", {"breitengrad": n(a), "laengengrad": n(b)}), ("home_position", {"lat": n(a), "lng": n(b)}), ("GLOBAL_POSITION_INT", {"lat": e7(a), "lon": e7(b), "relative_alt": s.r.randint(0, 99999)}),
            ("geo", {"type": "Point", "coordinates": [n(b), n(a)]}), ("wgs84", [n(a), n(b)]), ("konum", {"enlem": n(a), "boylam": n(b)}), ("gnss", {"Latitude_deg": n(a), "Longitude_deg": n(b), "fix": 4}),
            ("geofence", {"type": "LineString", "coordinates": [[n(b), n(a)], [n(round(b + .0013, 6)), n(round(a + .0017, 6))]]}), ("navsat", {"lla": [n(a), n(b), round(s.r.uniform(1, 300), 1)]}), ("posicao", {"latitude": n(a), "longitude": n(b)})])
    def gps_text(s, strict=False):
        a, b = s.ll(); c = [["raw", f"{abs(x):.9f}"[:f"{abs(x):.9f}".index(".") + 5], 0] for x in (a, b)]
        def dms(x, p): x = abs(x); d = int(x); m = int((x - d) * 60); return d, m, f"{(x - d) * 3600 - m * 60:04.1f}", p
        A1, B1 = dms(a, "N" if a > 0 else "S"), dms(b, "E" if b > 0 else "W"); f = s.r.choice(["deg", "geo", "maps", "dms", "nmea", "hemi", *([] if strict else ["wkt", "comma", "comma"])])
        if f == "dms": t = " ".join(f"{d}\u00b0{m:02d}'{q}\"{p}" for d, m, q, p in (A1, B1)); return S("gps_text", t, [R(f"{x[1]:02d}'{x[2]}") for x in (A1, B1)])
        if f == "nmea":
            u = [f"{int(abs(x)):0{w}d}{(abs(x) % 1) * 60:08.5f}" for x, w in ((a, 2), (b, 3))]; t = f"$GNGGA,{s.dg(6)}.00,{u[0]},{A1[3]},{u[1]},{B1[3]},4,{s.r.randint(5, 24)},0.7,{s.r.uniform(1, 400):.1f},M,46.9,M,,"
            k = 0
            for ch in t[1:]: k ^= ord(ch)
            return S("gps_text", f"{t}*{k:02X}", [R(x) for x in u])
        t = {"deg": f"{a}\u00b0, {b}\u00b0", "comma": f"{a},{b}", "geo": f"geo:{a},{b};u=12", "maps": f"https://maps.example/@{a},{b},17z", "wkt": f"POINT({b} {a})", "hemi": f"{abs(a)} {A1[3]} / {abs(b)} {B1[3]}"}[f]
        return S("gps_text", t, c)
    def address(s):
        L = s.lang if s.lang in STREETS else "en"; st, fmt, places = STREETS[L]; x = s.r.choice(st.split("|")); pc, city = s.r.choice(places.split("|")).split("=")
        v = fmt.format(s=x, n=s.r.randint(2, 148), m=s.r.randint(1, 30), p=s.fill(pc), c=city)
        if L in ("ja", "ko"): return S("address", v, [R(x), W(v)])
        return S("address", v, [R(w) for w in x.replace("-", " ").split() if len(w) >= 4 and w.lower() not in STREETWORDS][:2] or [R(x)])
    def dob(s):
        r = s.r; y, m, d = r.randint(1951, 2005), r.randint(1, 12), r.randint(1, 28); mon = MONTHS.get(s.lang, MONTHS["en"]).split()[m - 1]
        v = r.choice([f"{y}.{m:02d}.{d:02d}.", f"{d}. {m}. {y}", f"{y}/{m:02d}/{d:02d}", f"{d}-{m:02d}-{y}", f"{d:02d}{['JAN','FEB','MAR','APR','MAY','JUN','JUL','AUG','SEP','OCT','NOV','DEC'][m - 1]}{y}", f"{y}{m:02d}{d:02d}", f"{d:02d}.{m:02d}.{y}", f"{y}-{m:02d}-{d:02d}T00:00:00"] +
                     ([f"{y}年{m}月{d}日"] * 3 if s.lang == "ja" else [f"{y}년 {m}월 {d}일"] * 3 if s.lang == "ko" else [f"{d} {mon} {y}", f"{y}. {mon} {d}." if s.lang == "hu" else f"{d}. {mon} {y}"]))
        return S("dob", v, [R(v), R(v.replace(str(y), "").strip(" -./年년"))])
    def passport(s):
        v = s.fill(s.r.choice(["U########", "M########", "T@#######", "########", "@@######", "BA#######", "AB ######", "@@@######", "C##^####^".replace("^", "#"), "X######"]))
        if s.r.random() < .15:
            n = s.fill("C########"); b = f"{s.r.randint(50, 99)}{s.r.randint(1, 12):02d}{s.r.randint(1, 28):02d}"; e = f"{s.r.randint(27, 34)}{s.r.randint(1, 12):02d}{s.r.randint(1, 28):02d}"
            l = n + mrz_ck(n) + s.r.choice(["D<<", "CZE", "SWE", "TUR", "HUN", "PRT"]) + b + mrz_ck(b) + s.r.choice("MF") + e + mrz_ck(e) + "<" * 14 + "0"
            return S("passport", l + mrz_ck(l[:10] + l[13:20] + l[21:43]), [A(n)])
        return S("passport", v, [A(v)])
    def plate(s):
        f = PLATES.get(s.lang) if s.r.random() < .6 else None; v = s.fill(s.r.choice((f or s.r.choice(list(PLATES.values()))).split("|")))
        return S("plate", v, [W(v), A(v, 5)])
    # -- secrets
    def sec_aws(s, strict=False):
        if strict or s.r.random() < .45: b = s.al(16, UP + "234567"); return S("sec_aws", s.r.choice(["AKIA", "ASIA"]) + b, [A(b)])
        b = s.al(40, B62 + "+/"); return S("sec_aws", b, [A(b, 6)])
    def sec_github(s, strict=False): p, n = s.r.choice([("ghu_", 36), ("ghr_", 36), ("ghp_", 36), ("ghs_", 36)]); b = s.al(n) if s.r.random() < .7 else None; b2 = b or s.al(22) + "_" + s.al(59); return S("sec_github", (p if b else "github_pat_") + b2, [A(b2, 5)])
    def sec_stripe(s, strict=False): b = s.al(s.r.choice([24, 32, 99])); return S("sec_stripe", s.r.choice(["sk_live_", "rk_live_", "whsec_", "rk_test_"]) + b, [A(b, 5)])
    def sec_openai(s, strict=False): b = s.r.choice([s.al(20) + "T3BlbkFJ" + s.al(20), s.al(74, B64U) + "T3BlbkFJ" + s.al(74, B64U)]); return S("sec_openai", (s.r.choice(["sk-svcacct-", "sk-proj-", "sk-admin-"]) if len(b) > 60 else "sk-") + b, [A(b.split("T3BlbkFJ")[0], 5), A(b.split("T3BlbkFJ")[1], 5)])
    def sec_slack(s, strict=False):
        t = s.al(24); f = s.r.choice(["xoxp", "xapp", "hook", "xoxe"])
        if f == "hook": return S("sec_slack", f"hooks.slack." + f"com/services/T0{s.al(7, UP + DI)}/B0{s.al(9, UP + DI)}/{t}", [A(t)])
        if f == "xapp": t = s.al(64, HX); return S("sec_slack", f"xapp-1-A0{s.al(9, UP + DI)}-{s.dg(13)}-{t}", [A(t, 5)])
        if f == "xoxe": t = s.al(120); return S("sec_slack", f"xoxe.xoxp-1-{t}", [A(t, 5)])
        t = s.al(32, HX); return S("sec_slack", f"xoxp-{s.dg(12)}-{s.dg(12)}-{s.dg(13)}-{t}", [A(t, 5)])
    def sec_jwt(s, strict=False):
        e = lambda o: base64.urlsafe_b64encode(json.dumps(o, separators=(",", ":")).encode()).decode().rstrip("=")
        sub = s.al(14); alg, n = s.r.choice([("ES256", 86), ("RS256", 342), ("EdDSA", 86), ("HS512", 86)]); sig = s.al(n, B64U)
        return S("sec_jwt", f'{e({"typ": "JWT", "alg": alg, "kid": s.al(6, LO)})}.{e({"iss": "https://sso.example", "aud": "fleet", "sub": sub, "exp": s.ts()})}.{sig}', [A(sig, 5), R(sub)])
    def sec_pem(s, strict=False):
        k = s.r.choice(["EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "DSA PRIVATE KEY", "PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]); ls = [s.al(64, B62 + "+/") for _ in range(s.r.randint(2, 6))] + [s.al(s.r.randint(12, 56), B62 + "+/") + "="]
        nl = s.r.choice(["\n", "\n", "\r\n", "\\n", " ", "\n    "]); return S("sec_pem", nl.join([f"-----BEGIN {k}-----"] + ls + [f"-----END {k}-----"]), [A(l, 8) for l in ls])
    def sec_acto(s, strict=False): b = s.al(43, B64U); return S("sec_acto", "acto_" + b, [A(b, 5)])
    def sec_bearer(s):
        b = s.r.choice([s.al(40, HX), s.al(48), s.al(56, B64U), s.al(32, LO + DI), "ya29." + s.al(60, B64U), s.uuid()]); return S("sec_bearer", b, [A(b.replace("ya29.", ""), 5)])
    def pw(s, lo=10, hi=18):
        return s.r.choice([s.al(s.r.randint(lo, hi), B62 + "_!"), s.al(s.r.randint(lo, hi), B62 + "-."), s.r.choice(PWWORDS) + s.dg(2) + s.r.choice(PWWORDS) + s.r.choice("!_*~"), s.al(5, LO) + "-" + s.al(5, LO) + "-" + s.dg(4)])
    def sec_connstr(s): p = s.pw(); return S("sec_connstr", p, [R(p, 5)])
    def sec_wifi_psk(s): p = s.r.choice([s.pw(), s.al(64, HX), s.r.choice(PWWORDS) + s.r.choice(PWWORDS) + s.dg(4), s.dg(4) + "-" + s.dg(4) + "-" + s.dg(4)]); return S("sec_wifi_psk", p, [R(p, 5)])
    def sec_generic(s): b = s.r.choice([s.pw(14, 22), s.al(64, HX), s.al(26, UP + "234567"), s.al(44, B62 + "+/")[:43] + "=", s.al(36)]); return S("sec_generic", b, [A(b, 5)])
    def url_cred(s): p = s.al(s.r.randint(10, 32)); return S("url_cred", p, [A(p, 5)])
    # -- hard negatives
    def uuid(s): h = s.al(32, HX); return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-9{h[17:20]}-{h[20:]}"
    def ts(s): return s.r.randint(1_640_000_000, 1_780_000_000)
    def iso(s): r = s.r; return f"202{r.randint(3, 6)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}T{r.randint(0, 23):02d}:{r.randint(0, 59):02d}:{r.randint(0, 59):02d}.{r.randint(0, 999):03d}Z"
    def fl(s, n, lo=-3.2, hi=3.2, d=5): return [round(s.r.uniform(lo, hi), d) for _ in range(n)]
    def cg(s, n, sep=":"): return sep.join(s.al(2, HX) for _ in range(n)).upper()

# ------------------------------------------------------------------------------------------------ disguises of a surface
FULL = str.maketrans("0123456789@.+-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "０１２３４５６７８９＠．＋－ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ")
LOOK = {"cyr": str.maketrans("aeopcxyABEKMHOPCTX", "аеорсхуАВЕКМНОРСТХ"), "greek": str.maketrans("aopvABEZHIKMNOPTYX", "αορνΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")}
def disguise(r, sv, kind):
    t = sv.surface; at = lambda z, m: "".join(c + (z if i % m == 1 and i + 1 < len(t) else "") for i, c in enumerate(t))
    if kind == "fullwidth": t = t.translate(FULL)
    elif kind in LOOK: t = t.translate(LOOK[kind])
    elif kind == "circled": t = "".join(chr(0x2460 + int(c) - 1) if c in "123456789" else "\u24ea" if c == "0" else c for c in t)
    elif kind == "devanagari": t = "".join(chr(0x966 + int(c)) if c in DI else c for c in t)
    elif kind == "mathmono": t = "".join(chr(0x1D7F6 + int(c)) if c in DI else c for c in t)
    elif kind in ("zwsp", "zwj", "shy", "bom", "rlm"): t = at({"zwsp": "\u200b", "zwj": "\u200d", "shy": "\u00ad", "bom": "\ufeff", "rlm": "\u200f"}[kind], r.choice([2, 3, 4]))
    elif kind == "thinsp": t = t.replace(" ", "\u202f").replace("-", "\u2010")
    elif kind == "pct": t = urllib.parse.quote(t, safe="")
    elif kind == "pctall": t = "".join(f"%{b:02x}" for b in t.encode())
    elif kind == "htmldec": t = "".join(f"&#{ord(c)};" for c in t)
    elif kind == "htmlhex": t = "".join(f"&#x{ord(c):x};" if not c.isalnum() or i % 4 == 0 else c for i, c in enumerate(t))
    elif kind == "uesc": t = "".join(f"\\u{ord(c):04x}" if not c.isalnum() or i % 3 == 0 else c for i, c in enumerate(t))
    elif kind == "atdot": t = t.replace("@", r.choice(["(at)", " [AT] ", " at "])).replace(".", r.choice([" [dot] ", " dot "]))
    elif kind == "spoken":
        w = r.choice(["null eins zwei drei vier fünf sechs sieben acht neun", "zero one two three four five six seven eight nine", "oh one two three four five six seven eight nine"]).split(); t = r.choice([" ", ", ", "-"]).join(w[int(c)] for c in t if c in DI)
    elif kind == "spaced": t = " ".join(c for c in t if not c.isspace())
    elif kind == "nfd": t = unicodedata.normalize("NFD", t)
    elif kind == "b64val": t = base64.b64encode(t.encode()).decode()
    elif kind == "hexval": t = t.encode().hex()
    return S(sv.type, t, sv.cores, sv.surface, kind)
def sent(tpl, s): a, b = tpl.split("{}"); return Txt(a, s, b)

# ------------------------------------------------------------------------------------------------ hosts: topic, payload, text(t), field(k, v)
def hard(v, n):
    """n random hard negatives as an object"""
    return {k: f(v) for k, f in v.r.sample(HARD, n)}
def clean_text(v):
    t = v.r.choice(CLEAN)
    while "{" in t: i = t.index("{"); j = t.index("}"); t = t[:i] + str(FILL[t[i + 1:j]](v)) + t[j + 1:]
    return t
def clean_box(v): return Enc(v.r.choice(BOX), {k: x for k, x in hard(v, v.r.randint(2, 4)).items() if not isinstance(x, (list, dict))} or {"ok": 1})
def h_diag(v):
    r = v.r; vals = [{"key": k, "value": json.dumps(x) if not isinstance(x, str) else x} for k, x in hard(v, r.randint(3, 7)).items()]
    p = {"header": {"stamp": {"sec": v.ts(), "nanosec": r.randint(0, 999999999)}, "frame_id": ""}, "status": [{"level": r.randint(0, 2), "name": r.choice(["lidar_front: SICK", "Bremse links", "/baterie", "motor_driver: left", "kamera: hloubka"]), "message": clean_text(v), "hardware_id": v.fill("hw-####@@"), "values": vals}]}
    def field(k, n): vals.insert(r.randint(0, len(vals)), {"key": k, "value": n})
    def text(t):
        if isinstance(p["status"][0]["message"], str): p["status"][0]["message"] = t
        else: p["status"].append({"level": 1, "name": "log", "message": t})
    return r.choice(["/diagnostics", f"ros2/halle{r.randint(1, 6)}/diagnostics_agg", f"fts/{r.randint(1, 60)}/diag"]), p, text, field
def h_vda_order(v):
    r = v.r; acts = [{"actionType": r.choice(["pick", "drop", "startCharging", "wait"]), "actionId": v.uuid(), "blockingType": "HARD", "actionParameters": [{"key": k, "value": x} for k, x in hard(v, 2).items()]}]
    p = {"headerId": r.randint(1, 99999), "timestamp": v.iso(), "version": "2.1.0", "manufacturer": r.choice(["Sklad-Robotik", "Henrik & Søn AGV", "Tekno Otomasyon"]), "serialNumber": v.fill("@@-######"), "orderId": v.fill(r.choice(["45########", "ORD.####.##", "ZK-########"])), "orderUpdateId": r.randint(0, 5),
         "nodes": [{"nodeId": f"K{r.randint(1, 900):03d}", "sequenceId": 2 * i, "released": True, "nodePosition": {"x": round(r.uniform(-90, 90), 7), "y": round(r.uniform(-180, 180), 7), "mapId": "eg_nord"}, "actions": []} for i in range(r.randint(1, 3))], "edges": [], "actions": acts}
    return f"vda5050/v2/{r.choice(['sklad', 'tekno', 'henrik'])}/{v.fill('@##')}/order", p, lambda t: acts.append({"actionType": "displayMessage", "actionId": v.uuid(), "actionDescription": t}), lambda k, n: acts[0]["actionParameters"].append({"key": k, "value": n})
def h_vda_state(v):
    r = v.r; errs, info = [], []
    p = {"timestamp": v.iso(), "serialNumber": v.fill("LX#######"), "agvPosition": {"x": round(r.uniform(-50, 80), 6), "y": round(r.uniform(-50, 80), 6), "theta": round(r.uniform(-3.1, 3.1), 7), "positionInitialized": True}, "loads": [{"loadId": ean("3" + v.dg(16)), "loadType": "EPAL1"}], "errors": errs, "information": info, "batteryState": {"batteryCharge": round(r.uniform(8, 99), 2), "reach": r.randint(100, 9999)}}
    if r.random() < .5: errs.append({"errorType": r.choice(["orderUpdateError", "E1203.17", "0x8613"]), "errorLevel": "FATAL", "errorDescription": clean_text(v), "errorReferences": [{"referenceKey": "orderId", "referenceValue": v.uuid()}]})
    return f"site-{v.al(3, LO)}/agv/{r.randint(100, 999)}/state", p, lambda t: errs.append({"errorType": "custom", "errorLevel": "WARNING", "errorDescription": t}), lambda k, n: info.append({"infoType": "ref", "infoLevel": "DEBUG", "infoReferences": [{"referenceKey": k, "referenceValue": n}]})
def h_spark(v):
    r = v.r; m = [{"name": k, "alias": i, "timestamp": v.ts() * 1000 + i, "dataType": "String" if isinstance(x, str) else "Double", "value": x} for i, (k, x) in enumerate(hard(v, r.randint(3, 6)).items())]
    return f"spBv1.0/Werk{r.randint(1, 4)}/{r.choice(['NDATA', 'DDATA', 'NBIRTH'])}/zelle{r.randint(1, 30)}", {"timestamp": v.ts() * 1000, "seq": r.randint(0, 255), "metrics": m}, lambda t: m.append({"name": "Hinweis/Text", "dataType": "String", "value": t}), lambda k, n: m.insert(0, {"name": "Props/" + k, "dataType": "String", "value": n})
def h_opcua(v):
    r = v.r; p = {"NodeId": f"ns={r.randint(2, 9)};s=Robot{r.randint(1, 40)}.Axis{r.randint(1, 7)}.ActualTorque", "Value": {"Type": 11, "Body": round(r.uniform(-60, 60), 9)}, "SourceTimestamp": v.iso(), "ServerTimestamp": v.iso(), "StatusCode": 2147483648 + r.randint(0, 65535), "Attributes": hard(v, r.randint(2, 5))}
    return f"opcua/linie{r.randint(1, 9)}/sub/{r.randint(1, 99)}", p, lambda t: p.setdefault("Events", []).append({"Severity": r.randint(1, 1000), "Message": {"Locale": v.lang, "Text": t}}), lambda k, n: p["Attributes"].__setitem__(k, n)
def h_cobot(v):
    r = v.r; p = {"t_us": v.ts() * 10**6, "q": v.fl(6), "qd": v.fl(6, -1, 1), "tcp_pose": v.fl(6, -1.2, 1.2, 9), "torque_Nm": v.fl(6, -80, 80, 3), "tool": TOOLS(v), "program": r.choice(["paleta_3.urp", "Schweissen_links.urp", "picking_v7"]), "io": {"di": r.randint(0, 2**16), "do": r.randint(0, 2**16)}, "joint_mode": [253] * 6, "extra": hard(v, r.randint(1, 4))}
    return f"cobot/{r.choice(['ur10e', 'kr20', 'crx5'])}-{r.randint(1, 40):02d}/rtde", p, lambda t: p.setdefault("popup", []).append(t), lambda k, n: p["extra"].__setitem__(k, n)
def h_pick(v):
    r = v.r; p = {"vorgang": r.choice(["entnahme", "plnění", "toplama", "plock"]), "tote": v.fill("T######"), "ean": ean(r.choice(["40", "859", "73", "869", "599", "49", "880"]).ljust(12, "0")[:3] + v.dg(9)), "sscc": ean("3" + v.dg(16)), "epc": "3034" + v.al(20, HX).upper(), "platz": v.fill("@-##-##-@"), "menge": r.randint(1, 48), "gewicht_g": r.randint(20, 24000), "details": hard(v, 2), "bemerkung": [clean_text(v)] if r.random() < .5 else []}
    return f"wms/station/{r.choice(['Karl', 'Berta', 'nord3'])}/pick", p, lambda t: p["bemerkung"].append(t), lambda k, n: p["details"].__setitem__(k, n)
def h_syslog(v):
    r = v.r; L = [f"<{r.randint(8, 190)}>1 {v.iso()} amr-{r.randint(1, 60):02d} nav2 {r.randint(300, 60000)} - - {clean_text(v)}" for _ in range(r.randint(1, 4))]
    p = {"unit": r.choice(["nav2.service", "mqtt-bridge", "agv_core"]), "boot": v.al(32, HX), "__REALTIME_TIMESTAMP": v.ts() * 10**6, "MESSAGES": L, "fields": hard(v, 1)}
    def text(t): L.insert(r.randint(0, len(L)), Txt(f"{v.iso()} {r.choice(['WARN', 'ERROR', 'info', 'D'])} [{r.choice(['ui', 'auth', 'bridge', 'hmi'])}] ", *(t.parts if isinstance(t, Txt) else [t])) if r.random() < .6 else t)
    return f"logs/amr-{r.randint(1, 60):02d}/journal", p, text, lambda k, n: p["fields"].__setitem__(k, n)
def h_shadow(v):
    r = v.r; rep = hard(v, r.randint(3, 6)); p = {"state": {"reported": rep, "desired": {"v_max": round(r.uniform(.3, 2), 2)}}, "version": r.randint(1, 10**6), "timestamp": v.ts(), "clientToken": Skip(v.fill("shadow-####"))}
    return f"$aws/things/amr-{r.randint(1, 300)}/shadow/update", p, lambda t: rep.setdefault("poznamky", []).append(t), lambda k, n: rep.__setitem__(k, n)
def h_uav(v):
    r = v.r; p = {"mavpackettype": r.choice(["ATTITUDE", "SYS_STATUS", "LOCAL_POSITION_NED"]), "time_boot_ms": r.randint(10**5, 10**9), "x": round(r.uniform(-90, 90), 7), "y": round(r.uniform(-90, 90), 7), "z": round(r.uniform(-120, 0), 3), "roll": round(r.uniform(-1, 1), 8), "voltages": [r.randint(3500, 4200) for _ in range(10)], "uid": r.randint(10**17, 9 * 10**17), "aux": hard(v, r.randint(1, 3))}
    return f"uav/{r.randint(1, 20)}/mavlink", p, lambda t: p.setdefault("STATUSTEXT", []).append({"severity": r.randint(0, 7), "text": t}), lambda k, n: p["aux"].__setitem__(k, n)
def h_chat(v):
    r = v.r; th = [{"t": v.iso(), "lang": v.lang, "text": clean_text(v)} for _ in range(r.randint(1, 3))]; p = {"ticket": v.fill("INC#######"), "prio": r.randint(1, 4), "robot": r.choice(ROBOTNAMES) + f"-{r.randint(1, 30)}", "thread": th, "custom": hard(v, 1)}
    return f"support/{r.choice(['hiba', 'störung', 'arıza', 'chamado', 'ärende'])}/{r.randint(1, 9999)}", p, lambda t: th.append({"t": v.iso(), "text": t}), lambda k, n: p["custom"].__setitem__(k, n)
def h_ocpp(v):
    r = v.r; x = {"connectorId": r.randint(1, 4), "meterStart": r.randint(10**5, 10**8), "timestamp": v.iso(), "vendorId": r.choice(["Kempower", "Delta", "Wiferion"]), **hard(v, 2)}
    return f"ocpp/lader{r.randint(1, 20)}/call", [2, v.uuid(), r.choice(["DataTransfer", "StartTransaction"]), x], lambda t: x.setdefault("data", []).append(t), lambda k, n: x.__setitem__(k, n)
def h_scan(v):
    r = v.r; p = {"hdr": [v.ts(), r.randint(0, 10**9), "laser_rear"], "ranges_mm": [r.randint(80, 30000) for _ in range(r.randint(40, 140))], "intensities": v.fl(20, 0, 255, 1), "blob": base64.b64encode(r.randbytes(r.randint(40, 160))).decode(), "odom": {"x": round(r.uniform(-80, 80), 8), "y": round(r.uniform(-80, 80), 8), "cov": v.fl(9, 0, 1, 8)}, "meta": hard(v, 1)}
    return f"perception/{r.randint(1, 50)}/scan2d", p, lambda t: p["meta"].setdefault("notes", []).append(t), lambda k, n: p["meta"].__setitem__(k, n)
def h_line(v):                                  # the whole payload is one string
    r = v.r; st = {"parts": [r.choice([f"{v.iso()};{v.fill('amr##')};{v.ts()};{r.uniform(-50, 50):.6f};{r.uniform(-50, 50):.6f};", f"{v.ts()}.{v.dg(6)} can0 {v.al(8, HX).upper()}#{v.al(16, HX).upper()} ", f"[{v.ts()}] {clean_text(v)} | "])]}
    class P: pass
    p = P(); p.st = st
    def text(t): st["parts"] += list(t.parts) if isinstance(t, Txt) else [t]; st["parts"].append(" | ")
    def field(k, n): n = n if isinstance(n, S) else Enc("json", n) if not isinstance(n, (Enc, str)) else n; st["parts"] += [f"{k}=", n, ";"] if isinstance(n, (S, str)) else [clean_text(v), ";"]; return isinstance(n, (S, str))
    return f"raw/serial{r.randint(0, 7)}", p, text, field
HOSTS = [h_diag, h_vda_order, h_vda_state, h_spark, h_opcua, h_cobot, h_pick, h_syslog, h_shadow, h_uav, h_chat, h_ocpp, h_scan, h_diag, h_syslog, h_chat, h_line]

# ------------------------------------------------------------------------------------------------ putting a value into a message
BOX = ["json", "jsonpretty", "jsonascii", "jsonjson", "b64json", "b64url", "datauri", "gzb64", "hex", "hex0x", "pctjson", "url", "urlraw", "yaml", "ini", "kvsemi", "logfmt", "xml", "xmlattr", "htmlxml", "csv", "tsv", "pydict"]
DIS = ["fullwidth", "zwsp", "zwj", "shy", "bom", "rlm", "pct", "pctall", "htmldec", "htmlhex", "uesc", "thinsp", "spaced"]
DIGIT = {"phone", "card", "iban", "us_ssn", "de_steuerid", "in_aadhaar", "br_cpf", "pl_pesel", "nl_bsn", "fr_nir", "es_dni", "uk_nino"}
INTS = {"phone", "card", "us_ssn", "de_steuerid", "in_aadhaar", "br_cpf", "pl_pesel", "nl_bsn"}
def opts(v, t):
    if t in DIGIT: return DIS + ["circled", "devanagari", "mathmono"] + (["spoken"] * 3 if t in INTS else [])
    if t == "email": return DIS + ["cyr", "greek", "greek", "atdot", "atdot", "atdot", "b64val", "hexval"]
    if t in ("ipv4", "mac", "it_cf", "plate", "passport"): return ["fullwidth", "zwsp", "bom", "pctall", "htmldec", "htmlhex", "uesc"] + (["cyr"] if t in ("it_cf", "plate", "passport") else [])
    if t in ("person", "person_text", "address"): return ["nfd", "nfd", "pct", "htmldec", "uesc", "zwsp", "shy"]
    if t.startswith("sec_") and t not in ("sec_pem", "sec_connstr", "sec_jwt"): return ["zwsp", "bom", "fullwidth", "b64val", "hexval", "pctall"]
    return ["htmlhex", "pct"] if t in ("dob", "gps_text", "ipv6") else []
def splits(s):
    d = s.surface
    if s.type == "ipv4" and d.count(".") == 3 and d.replace(".", "").isdigit(): return [int(x) for x in d.split(".")]
    if s.type == "mac": h = alnum(d); return [h[i:i + 2] for i in range(0, 12, 2)]
    if s.type in INTS: n = digits(d); return [n[i:i + 3] for i in range(0, len(n), 3)] if len(n) % 2 else [n[i:i + 2] for i in range(0, len(n), 2)]
    if s.type in ("iban", "plate", "fr_nir", "passport") and len(d) < 45: n = alnum(d); return [n[i:i + 4] for i in range(0, len(n), 4)]
def inject(v, t, p, text, field, isline):
    r = v.r; keys, sents, neutral = CTX[t]; x = r.random()
    sents = [(l, q) for l, q in sents if "MRZ" not in q] if t == "passport" else sents
    sents = [q for l, q in sents if l in (v.lang, "*")] or [q for _, q in sents]
    if t == "gps_num":
        k, tree = v.gps_num()
        if isline: return None
        field(k, tree); return None
    if t in ("person", "email", "phone") and x < .05 and not isline:       # split over several fields
        a, b = v.names(v.lang if v.lang not in ("ja", "ko") else "en"); kk = r.choice([("vorname", "nachname"), ("jmeno", "prijmeni"), ("ad", "soyad"), ("keresztnév", "vezetéknév"), ("fornamn", "efternamn"), ("名", "姓"), ("first_name", "last_name"), ("prenom", "nom_famille")])
        field("pers", {kk[0]: S("person", a, [v.tok(a)], enc="parts"), kk[1]: S("person", b, [v.tok(b)], enc="parts"), "schicht": r.choice("FSN")}); return None
    mk = getattr(v, t); isneutral = neutral and .55 < x < .65; s = mk(strict=True) if isneutral else mk()
    if t == "passport" and "<" in s.surface: sents = sents + ["MRZ {}"] * 3
    key = r.choice(keys) if keys else None; sn = lambda y: sent(r.choice(sents), y) if sents else Txt(y)
    if isneutral:
        if r.random() < .5: s.enc = "neutral_field"; field(r.choice(NEUTRAL_KEYS), s)
        else: s.enc = "neutral_text"; text(sent(r.choice(NEUTRAL_SENT), s))
    elif x < .20:                                                          # in a box
        kinds = [k for k in BOX if not (t == "sec_pem" and k in ("csv", "tsv", "ini", "kvsemi", "logfmt", "xmlattr", "urlraw")) and not (k in ("tsv", "kvsemi", "csv", "ini") and any(c in s.surface for c in ";\n\t")) and not (k == "pydict" and "'" in s.surface and '"' in s.surface)]
        body = s if key and (r.random() < .75 or not sents) else sn(s); k = key if isinstance(body, S) else "msg"
        fl_ = [(a, b) for a, b in hard(v, 2).items() if not isinstance(b, (list, dict, bool))]; items = fl_[:1] + [(k, body)] + fl_[1:]
        field(r.choice(["blob", "ctx_raw", "nutzdaten", "data_b", "obsah", "ekstra", "extension"]), Enc(r.choice(kinds), D(*items)))
    elif x < .36 and opts(v, t):                                           # disguised
        y = disguise(r, s, r.choice(opts(v, t)))
        text(sn(y)) if sents and r.random() < .8 or not key else field(key, y)
    elif x < .50 and key and not isline:                                   # odd places
        c = ["nested", "deep", "pairs", "list"] + (["key"] * 2 if neutral else []) + (["topic"] * 6 if t in ("email", "person") or t in ("phone", "mac") and s.surface[:1] == "+" or t == "mac" and ":" in s.surface else []) + (["int"] * 3 if t in INTS else []) + (["split"] * 2 if splits(s) else [])
        c = r.choice(c)
        if c in ("key", "topic") and any(q in s.surface for q in "/# ") and c == "topic": c = "list"
        if c in ("nested", "deep", "pairs", "list"): s.enc = c
        if c == "nested": field(key, [[s, [Skip(r.randint(0, 9))]], {"n": Skip(2)}])
        elif c == "deep": field("a", {"b": [{"c": {"d": [{key: s, "w": r.randint(1, 99)}]}}]})
        elif c == "pairs": field("props", [["ver", "1.4.0.22"], [key, s], ["idx", r.randint(1, 9)]])
        elif c == "list": field(key if key.endswith("s") else key + "_list", [s, Skip("n/a")] if t != "sec_pem" else [s])
        elif c == "key":                                                   # no cue there: only forms that tell themselves
            if t in ("phone", "mac", "ipv4", "ipv6", "gps_text", "sec_aws"): s = mk(strict=True)
            field("by_id", D((s, {"cnt": r.randint(1, 9)})))
        elif c == "topic": return Txt(r.choice(["hmi/", "obsluha/", "flotte/user/", "access/"]), s, r.choice(["/login", "/status", "/evt"]))
        elif c == "int": field(key, Num(t, int(digits(s.surface.replace("(0)", ""))), s.cores))
        elif c == "split": field(key, Split(t, splits(s), s.cores, s.surface))
    elif key and (not sents or r.random() < .42): field(key, s)
    elif t == "email" and r.random() < .25: text(Txt(*(["od: "] if r.random() < .5 else []), v.person("person_text", "full"), " <", s, ">"))
    else: text(sn(s))
    return None

def crosstalk(spans):            # a run of one value inside another one would make the scorer count one leak twice: such messages are drawn again
    for i, s in enumerate(spans):
        for j, o in enumerate(spans):
            if i == j: continue
            raw = str(o["value"]).lower(); al = alnum(raw)
            for kind, a, k in s["cores"]:
                if kind == "gps": continue
                for x in [a] if not k or len(a) <= k else [a[q:q + k] for q in range(len(a) - k + 1)]:
                    if x and x in (al if kind == "alnum" else raw): return True
    return False
def main(n=2000, seed=77041, out="."):
    v = V(seed); r = v.r; bag = []; langs = list(NAMES)
    with gzip.GzipFile(f"{out}/corpus.jsonl.gz", "wb", mtime=0) as fo, gzip.GzipFile(f"{out}/oracle.jsonl.gz", "wb", mtime=0) as fr:
        for i in range(n):
            while True:
                v.lang = r.choice(langs); topic, p, text, field = r.choice(HOSTS)(v); line = not isinstance(p, (dict, list))
                if r.random() < .25: text(clean_text(v))
                if r.random() < .15: field(r.choice(["raw", "dump", "anhang"]), clean_box(v))
                if i % 3:                                                      # two thirds carry something
                    for _ in range(r.choice([1, 2, 2, 3, 3, 4])):
                        if not bag: bag = list(CTX) + ["person_text", "email", "phone"]; r.shuffle(bag)
                        topic = inject(v, bag.pop(), p, text, field, line) or topic
                if line: p = Txt(*[q for q in p.st["parts"] if isinstance(q, (S, str))])
                m = Mat(); pay = m.go(p); ref = Mat(True).go(p)
                if not crosstalk(m.spans): break
            if isinstance(topic, Txt): top, rtop = m.text(topic, "#topic", "topic"), Mat(True).text(topic, "#topic")
            else: top = rtop = topic
            mid = f"c2-{i:05d}"; negs = m.negs
            if isinstance(pay, str): negs = [] if m.spans else [""]
            w = lambda f, o: f.write((json.dumps(o, ensure_ascii=False) + "\n").encode())
            w(fo, {"id": mid, "topic": top, "payload": pay, "spans": m.spans, "negatives": negs}); w(fr, {"id": mid, "topic": rtop, "payload": ref})
if __name__ == "__main__": main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, int(sys.argv[2]) if len(sys.argv) > 2 else 77041, os.path.dirname(os.path.abspath(__file__)))
