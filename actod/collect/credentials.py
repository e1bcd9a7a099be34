"""The broker's password and TLS context."""

from __future__ import annotations

import ssl
from pathlib import Path

from actod.config import MqttConfig
from actod.errors import ConfigError


def read_secret(path: Path, *, key: str) -> str:
    """Return a secret's text. Raises ConfigError if it is missing, empty or open to others; its content is never named."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(key=key, expected="a readable file", found=str(path), fix=f"make {path} readable by us") from exc
    if mode & 0o077:
        raise ConfigError(key=key, expected="a file that only we can read", found=str(path), fix=f"chmod 600 {path}")
    if not text:
        raise ConfigError(key=key, expected="a secret", found="an empty file", fix=f"write the secret to {path}")
    return text


def tls_context(mqtt: MqttConfig) -> ssl.SSLContext:
    """Return a client context: TLS 1.2 or newer, chain and host name validated. Raises ConfigError."""
    try:
        context = ssl.create_default_context(cafile=str(mqtt.ca_file) if mqtt.ca_file else None)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            key="mqtt.ca_file", expected="a readable file of PEM certificates", fix=f"check {mqtt.ca_file}"
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mqtt.certificate_file:
        try:
            context.load_cert_chain(mqtt.certificate_file, mqtt.private_key_file)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(
                key="mqtt.certificate_file",
                expected="a PEM certificate with its private key",
                fix="check mqtt.certificate_file and mqtt.private_key_file",
            ) from exc
    return context
