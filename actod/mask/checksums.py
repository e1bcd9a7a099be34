"""Check digits. Each takes digits (or upper-case letters and digits) without separators and says whether they hold."""

from __future__ import annotations

_VERHOEFF_PERMUTATION = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)
_VERHOEFF_DIHEDRAL = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678", "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_CF_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            2,
            4,
            18,
            20,
            11,
            3,
            6,
            8,
            12,
            14,
            16,
            10,
            22,
            25,
            24,
            23,
        ),
        strict=True,
    )
)
_LETTER_VALUES = {ord(letter): str(value) for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)}
_LUHN_DOUBLE = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1: payment cards."""
    total = sum(map(int, digits[-1::-2])) + sum(_LUHN_DOUBLE[int(ch)] for ch in digits[-2::-2])
    return total % 10 == 0


def gs1(digits: str) -> bool:
    """GS1: EAN, GTIN, SSCC."""
    return (sum(map(int, digits[-1::-2])) + 3 * sum(map(int, digits[-2::-2]))) % 10 == 0


def mod97(iban: str) -> bool:
    """ISO 7064 MOD 97-10 as in IBAN (ISO 13616)."""
    return int((iban[4:] + iban[:4]).translate(_LETTER_VALUES)) % 97 == 1


def verhoeff(digits: str) -> bool:
    """Aadhaar."""
    state = 0
    for index, ch in enumerate(reversed(digits)):
        state = int(_VERHOEFF_DIHEDRAL[state][int(_VERHOEFF_PERMUTATION[index % 8][int(ch)])])
    return state == 0


def steuerid(digits: str) -> bool:
    """German tax id: ISO 7064 MOD 11,10, and among the first ten digits one occurs twice or three times."""
    if digits[0] == "0" or not 8 <= len(set(digits[:10])) <= 9:
        return False
    product = 10
    for ch in digits[:10]:
        product = ((int(ch) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def cpf(digits: str) -> bool:
    """Brazilian CPF, two check digits."""
    if len(set(digits)) == 1:
        return False
    return all(
        sum(int(ch) * (size - i) for i, ch in enumerate(digits[: size - 1])) * 10 % 11 % 10 == int(digits[size - 1])
        for size in (10, 11)
    )


def nir(text: str) -> bool:
    """French social security number: 13 characters and a key mod 97 (Corsica: 2A, 2B)."""
    body = text[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(text[13:])


def dni(text: str) -> bool:
    """Spanish DNI, and NIE with its leading letter."""
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return number.isdigit() and _DNI_LETTERS[int(number) % 23] == text[-1]


def pesel(digits: str) -> bool:
    """Polish PESEL: a possible date of birth and a check digit."""
    month, day = int(digits[2:4]) % 20, int(digits[4:6])
    weighted = sum(int(ch) * weight for ch, weight in zip(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), strict=False))
    return 1 <= month <= 12 and 1 <= day <= 31 and -weighted % 10 == int(digits[10])


def bsn(digits: str) -> bool:
    """Dutch BSN, the eleven test."""
    weighted = sum(int(ch) * (9 - i) for i, ch in enumerate(digits[:8])) - int(digits[8])
    return weighted % 11 == 0 and int(digits) > 0


def codice_fiscale(text: str) -> bool:
    """Italian tax code: the last letter checks the fifteen before."""
    total = sum(_CF_ODD[ch] if i % 2 == 0 else int(ch, 36) - 10 * ch.isalpha() for i, ch in enumerate(text[:15]))
    return chr(65 + total % 26) == text[15]
