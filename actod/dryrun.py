"""What would run, and what can be refused before anything is made: `actod run --dry-run`, each start and each reload."""

from __future__ import annotations

from collections.abc import Iterator

from actod import beside, configfile
from actod.collect.credentials import tls_context
from actod.collect.routes import Routes
from actod.config import Config
from actod.keys import uri
from actod.mask.policy import Policy
from actod.secretfile import SecretFileError, read_secret
from actod.service.clock import SystemClock
from actod.store.vault import read_operator_key
from actod.submit.https import HttpsClient


def describe(config: Config) -> Iterator[str]:
    """Say what would run, after checking all that can be checked without broker, token or server."""
    routes = Routes.compile(config.routes)
    Policy.compile(config.masking)
    if config.masking.operator_key:
        read_operator_key(config.masking.operator_key)
    yield f"environment    {config.environment}"
    yield f"state folder   {config.state_directory}"
    yield f"broker         {config.mqtt.host}:{config.mqtt.port} as {config.mqtt.client_id!r}"
    yield f"collector      {config.collector.url} with {len(config.collector.pins)} pins"
    yield f"token          {config.token.uri}"
    for topic, qos in routes.subscriptions():
        yield f"subscribes     {topic} at QoS {qos}"
    yield f"configuration  sha256 {configfile.digest(config)}"


def admit(config: Config) -> list[str]:
    """Say what would run; refuse what can be known to be wrong before anything is made. Raises ConfigError."""
    uri.parse(config.token.uri)  # first: what is described holds the URI, and must not hold a PIN
    described = list(describe(config))
    HttpsClient(collector=config.collector, environment=config.environment, clock=SystemClock())  # it opens nothing
    beside.admit(config)
    if config.mqtt.password_file:
        read_secret(config.mqtt.password_file, key="mqtt.password_file")
    if config.mqtt.tls:
        tls_context(config.mqtt)
    if config.signer.spawn:
        _admit_pin(config)
    return described


def _admit_pin(config: Config) -> None:
    """Refuse a PIN that others can read. One that is away may come: no collection waits for what a TPM unseals."""
    try:
        read_secret(config.token.pin_file, key="token.pin_file")
    except SecretFileError as exc:
        if exc.fault != "unreadable":
            raise
