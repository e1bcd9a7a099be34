"""Where requests go: which URLs are allowed as collector and as proxy."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

import httpx

from actod.errors import ConfigError


def check_url(url: str, environment: str, *, key: str = "collector.url") -> str:
    """Return the base URL without a slash at its end. Raises ConfigError for anything but plain https with a host."""
    parts = _split(url, key)
    if parts.scheme != "https" or not parts.hostname:
        # What stands in it is not repeated: it may hold credentials.
        raise ConfigError(key=key, expected="an https:// URL with a host", fix="use https: there is no switch for http")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ConfigError(key=key, expected="no credentials, query or fragment", fix="credentials belong into files")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(key=key, expected="printable ASCII", fix="write an international name in its xn-- form")
    if not _is_host(url):
        raise ConfigError(
            key=key, expected="a host that can be a name or an address", found=repr(url), fix="correct the host"
        )
    if environment == "prod" and is_loopback(parts.hostname):
        raise ConfigError(
            key=key,
            expected="a server that is not this machine in prod",
            found=repr(url),
            fix='name the real collector, or use environment = "dev"',
        )
    return url.rstrip("/")


def host_of(url: str) -> str:
    """Return the host of a URL, "" if it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def check_proxy(url: str) -> str:
    """Return the proxy's URL; "" is none. Raises ConfigError for anything but http://host:port."""
    if not url:
        return ""
    key = "collector.proxy"
    parts = _split(url, key)
    plain = parts.path in {"", "/"} and not parts.query and not parts.fragment
    if parts.scheme != "http" or not parts.hostname or parts.port is None or "@" in parts.netloc or not plain:
        raise ConfigError(
            key=key,
            expected="http://host:port, without credentials",
            fix="name a proxy that allows CONNECT to the collector by address; TLS and pins hold inside its tunnel",
        )
    return url


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine, by itself (names are not looked up)."""
    name = host.rstrip(".").lower()
    if name in {"localhost", "ip6-localhost", "ip6-loopback"} or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.isdigit() or name.startswith(("127.", "0x7f", "0177."))  # forms that the resolver takes as numbers
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _is_host(url: str) -> bool:
    """Whether requests can be made: the HTTP library decodes xn-- labels, and names have labels of 1 to 63 bytes."""
    try:
        return bool(httpx.URL(url).host.encode("idna"))
    except (httpx.InvalidURL, UnicodeError):
        return False


def _split(url: str, key: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is none
    except ValueError as exc:
        raise ConfigError(key=key, expected="a URL", fix="https://host[:port][/path]") from exc
    return parts
