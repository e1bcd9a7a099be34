"""The TLS client context for the collector: validated chain and host name, TLS 1.2 or newer, pins on top."""

from __future__ import annotations

import ssl
from pathlib import Path

from actod.config import CollectorConfig
from actod.errors import ConfigError
from actod.secretfile import load_identity
from actod.submit.pins import hold_to_pins, parse_pins


def client_context(collector: CollectorConfig) -> ssl.SSLContext:
    """Return the context that every connection to the collector uses, also inside a proxy's tunnel. Raises ConfigError.

    Nothing of it can be changed by the environment: neither the trust store (SSL_CERT_FILE) nor a key log.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # validates chain and host name by itself
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _trust(context, collector.ca_file)
    if collector.certificate_file is not None:
        load_identity(context, collector.certificate_file, collector.private_key_file, section="collector")
    hold_to_pins(context, parse_pins(collector.pins))
    return context


def _trust(context: ssl.SSLContext, ca_file: Path | None) -> None:
    try:
        if ca_file is not None:
            context.load_verify_locations(cafile=ca_file)
            return
        system = ssl.get_default_verify_paths()
        cafile = system.openssl_cafile if Path(system.openssl_cafile).is_file() else None
        capath = system.openssl_capath if Path(system.openssl_capath).is_dir() else None
        context.load_verify_locations(cafile=cafile, capath=capath)
    except (OSError, ssl.SSLError, TypeError) as exc:  # TypeError: the system has neither
        raise ConfigError(
            key="collector.ca_file",
            expected="a readable PEM file of CA certificates",
            found=str(ca_file) if ca_file else "no trust store on this system",
            fix="name the CA's certificate file, or install ca-certificates",
        ) from exc
