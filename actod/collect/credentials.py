"""The broker's TLS context."""

from __future__ import annotations

import ssl

from actod.config import MqttConfig
from actod.errors import ConfigError
from actod.secretfile import load_identity


def tls_context(mqtt: MqttConfig) -> ssl.SSLContext:
    """Return a client context: TLS 1.2 or newer, chain and host name validated. Raises ConfigError."""
    try:
        context = ssl.create_default_context(cafile=str(mqtt.ca_file) if mqtt.ca_file else None)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            key="mqtt.ca_file",
            expected="a readable PEM file of CA certificates",
            found=str(mqtt.ca_file) if mqtt.ca_file else "no trust store on this system",
            fix="name the broker's CA certificate file",
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mqtt.certificate_file:
        load_identity(context, mqtt.certificate_file, mqtt.private_key_file, section="mqtt")
    return context
