"""Which token URIs are taken, and that a PIN in one is refused without being repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from actod.errors import ConfigError
from actod.keys.uri import TokenUri, parse

MODULE = "module-path=/usr/lib/p11.so"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"pkcs11:token=t;object=o?{MODULE}", TokenUri(Path("/usr/lib/p11.so"), "t", "o")),
        (f"PKCS11:object=o;serial=0a1B?{MODULE}", TokenUri(Path("/usr/lib/p11.so"), "", "o", serial="0a1B")),
        (f"pkcs11:token=a%20b%3Bc;object=%C3%A9;type=private?{MODULE}", TokenUri(Path("/usr/lib/p11.so"), "a b;c", "é")),
        (
            f"pkcs11:model=m;manufacturer=f;token=t;object=o?{MODULE}",
            TokenUri(Path("/usr/lib/p11.so"), "t", "o", manufacturer="f", model="m"),
        ),
    ],
)
def test_a_uri_names_module_token_and_object(uri: str, expected: TokenUri) -> None:
    assert parse(uri) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("", "begins with pkcs11:"),
        (f"token=t;object=o?{MODULE}", "begins with pkcs11:"),
        ("pkcs11:token=t;object=o", "module-path"),
        ("pkcs11:token=t;object=o?module-path=p11.so", "an absolute module-path"),
        ("pkcs11:token=t;object=o?module-path=./p11.so", "an absolute module-path"),
        (f"pkcs11:object=o?{MODULE}", "token or serial"),
        (f"pkcs11:token=;object=o?{MODULE}", "token or serial"),
        (f"pkcs11:token=t?{MODULE}", "object"),
        (f"pkcs11:token=t;token=u;object=o?{MODULE}", "each attribute once"),
        (f"pkcs11:token=t;object=o?{MODULE}&{MODULE}", "each attribute once"),
        (f"pkcs11:token=t;object=o;colour=red?{MODULE}", "known attributes"),
        (f"pkcs11:token=t;object=o;slot-id=1?{MODULE}", "known attributes"),
        (f"pkcs11:token=t;object=o;id=%01?{MODULE}", "known attributes"),
        (f"pkcs11:token=t;object=o;flag?{MODULE}", "known attributes"),
        (f"pkcs11:token=t;object=o;{MODULE}", "known attributes"),
    ],
)
def test_anything_else_is_refused_with_what_was_expected(uri: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"token\.uri: expected .*{expected}.*Fix: ."):
        parse(uri)


@pytest.mark.parametrize(
    "part",
    [
        "?pin-value=83914471",
        "?pin-source=file:83914471",
        "?PIN-VALUE=83914471",
        "?pin-value:83914471",
        ";pin-value=83914471",
        ";pin-value83914471",
        f"?{MODULE}&pin-value=83914471",
    ],
)
def test_a_pin_in_the_uri_is_refused_and_not_repeated(part: str) -> None:
    with pytest.raises(ConfigError, match=r"no PIN in the URI.*token\.pin_file") as caught:
        parse(f"pkcs11:token=t;object=o{part}")
    assert "83914471" not in str(caught.value) + repr(caught.value)
