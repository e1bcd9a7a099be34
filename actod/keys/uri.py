"""RFC 7512 PKCS#11 URIs: which module, which token, which object. A PIN in one is refused: the PIN is a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from actod.errors import ConfigError

# What would be ignored (id, slot-id, module-name) is refused; `type` may stand there, since tools print it.
_PATH = {"token", "object", "serial", "manufacturer", "model", "type"}
_QUERY = {"module-path"}


@dataclass(frozen=True, slots=True)
class TokenUri:
    """What the URI names; an empty string matches anything."""

    module_path: Path
    token: str
    object: str
    serial: str = ""
    manufacturer: str = ""
    model: str = ""


def parse(uri: str) -> TokenUri:
    """Parse a URI such as pkcs11:token=actod;object=key?module-path=/usr/lib/softhsm/libsofthsm2.so."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "pkcs11":
        raise _refused("a URI that begins with pkcs11:", "write pkcs11:token=...;object=...?module-path=...")
    path, _, query = rest.partition("?")
    attributes = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
    if "module-path" not in attributes:
        raise _refused("module-path in the URI", "append ?module-path=/usr/lib/.../module.so")
    module = Path(attributes["module-path"])
    if not module.is_absolute():
        raise _refused("an absolute module-path", "name the module by its full path")
    if not attributes.get("token") and not attributes.get("serial"):
        raise _refused("token or serial in the URI", "name the token: pkcs11:token=LABEL;...")
    if not attributes.get("object"):
        raise _refused("object in the URI", "name the key: ...;object=LABEL")
    named = {name: attributes.get(name, "") for name in ("token", "object", "serial", "manufacturer", "model")}
    return TokenUri(module, **named)


def _attributes(text: str, separator: str, known: set[str]) -> dict[str, str]:
    result = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if "pin" in name.lower():  # however it is written: the text is not repeated
            raise _refused("no PIN in the URI", "put the PIN into a file of mode 0600 and name it in token.pin_file")
        if name not in known or not equals:
            raise _refused(f"known attributes ({', '.join(sorted(known))}), each NAME=VALUE", f"correct {name!r}")
        if name in result:
            raise _refused("each attribute once", f"remove the second {name}")
        result[name] = unquote(value)
    return result


def _refused(expected: str, fix: str) -> ConfigError:
    return ConfigError(key="token.uri", expected=expected, fix=fix)
