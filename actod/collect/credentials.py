"""The broker's TLS context."""

from __future__ import annotations

import ssl

from actod.config import MqttConfig
from actod.errors import ConfigError


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
        try:
            context.load_cert_chain(mqtt.certificate_file, mqtt.private_key_file)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(
                key="mqtt.certificate_file",
                expected="a PEM certificate with its private key",
                fix="check mqtt.certificate_file and mqtt.private_key_file",
            ) from exc
    return context
