"""The one look at the broker that `actod check` takes."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from paho.mqtt import publish

from actod.collect.probe import probe_broker
from actod.config import MqttConfig
from actod.errors import ConfigError, TransientError
from hil.parts.broker import Broker, free_port
from hil.parts.certificates import CertificateAuthority
from hil.rig import wait_for


def reason_of(mqtt: MqttConfig) -> str:
    with pytest.raises(TransientError) as caught:
        probe_broker(mqtt)
    return str(caught.value)


def test_a_broker_says_how_much_it_takes_and_a_wrong_password_or_authority_is_told_apart(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path / "ca")
    broker_certificate = authority.issue("broker")
    broker = Broker(
        tmp_path / "broker",
        certificate=broker_certificate,
        ca_file=authority.ca_file,
        passwords={"robot": "correct horse"},
    )
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("correct horse", encoding="utf-8")
    broker.start()
    try:
        right = {
            "port": broker.port,
            "tls": True,
            "ca_file": authority.ca_file,
            "username": "robot",
            "password_file": secret,
        }
        answer = probe_broker(MqttConfig(**right))
        assert ssl.DER_cert_to_PEM_cert(answer.certificate or b"") in broker_certificate.cert_file.read_text()
        assert answer.receive_maximum in {20, None}
        assert answer.messages_per_second is None or answer.messages_per_second < 1000
        other = CertificateAuthority.make(tmp_path / "other").ca_file
        assert reason_of(MqttConfig(**right | {"ca_file": other})).startswith("certificate_refused: ")
        secret.write_text("wrong", encoding="utf-8")
        assert "refused: Not authorized" in reason_of(MqttConfig(**right))
        secret.chmod(0o604)
        with pytest.raises(ConfigError, match="chmod 600"):
            probe_broker(MqttConfig(**right))
    finally:
        broker.stop()


def test_the_rate_is_what_the_broker_counts_for_all_its_clients(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", settings="sys_interval 1")
    broker.start()
    try:
        publish.multiple([{"topic": "a", "payload": "x", "qos": 1}] * 50, port=broker.port)
        wait_for(lambda: probe_broker(MqttConfig(port=broker.port)).messages_per_second, what="a rate")
    finally:
        broker.stop()


def test_nobody_who_listens_and_nobody_who_answers_are_told_apart() -> None:
    assert "unreachable" in reason_of(MqttConfig(port=free_port()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no_answer" in reason_of(MqttConfig(port=silent.getsockname()[1], connect_timeout_seconds=0.3))
