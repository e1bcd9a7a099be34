"""Secrets fetched from Vault's KV version 2 and from AWS Secrets Manager, by their own clients, into files."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from actod.cli.credentials import _fetch
from actod.config import AwsConfig, CollectorConfig, Config, MqttConfig, TokenConfig, VaultConfig
from actod.errors import ConfigError, TransientError
from actod.secretfile import read_labelled
from actod.submit.secretstores import AwsStore, VaultStore
from hil.parts.certificates import CertificateAuthority
from tests.submit.parts import write_private

TOKEN = "hvs.CANARY-token"
SECRET = "acto_CANARY-fetched-key"


@dataclass
class Kv2:
    """Vault's KV version 2 as its API page describes it: reads of the newest version, deletion, permission, seal."""

    secrets: dict[str, Any] = field(default_factory=dict)  # path -> data, None: its newest version was deleted
    sealed: bool = False
    port: int = 0

    def answer(self, path: str, token: str | None) -> tuple[int, Any]:
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token != TOKEN:
            return 403, {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}
        name = path.removeprefix("/v1/secret/data/")
        if name not in self.secrets:
            return 404, {"errors": []}
        data = self.secrets[name]
        metadata = {
            "created_time": "2026-11-26T00:00:00.000000Z",
            "custom_metadata": None,
            "deletion_time": "" if data is not None else "2026-11-26T00:00:01.000000Z",
            "destroyed": False,
            "version": 3,
        }
        body = {"request_id": "0", "lease_id": "", "renewable": False, "lease_duration": 0, "wrap_info": None}
        body |= {"warnings": None, "auth": None, "data": {"data": data, "metadata": metadata}}
        return (200 if data is not None else 404), body


@pytest.fixture
def kv2(authority: CertificateAuthority) -> Iterator[Kv2]:
    vault, certificate = Kv2(), authority.issue("vault")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = vault.answer(self.path.partition("?")[0], self.headers.get("X-Vault-Token"))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: Any) -> None:
            return

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        vault.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield vault
        server.shutdown()
        thread.join(10)


def vault_config(folder: Path, authority: CertificateAuthority, kv2: Kv2, **changes: Any) -> VaultConfig:
    token = write_private(folder / "token", TOKEN + "\n")
    config = VaultConfig(url=f"https://127.0.0.1:{kv2.port}", token_file=token, ca_file=authority.ca_file)
    return replace(config, **changes)


def robot(folder: Path, **changes: Any) -> Config:
    return replace(
        Config(
            environment="prod",
            state_directory=folder,
            token=TokenConfig(uri="pkcs11:", pin_file=folder / "pin"),
            collector=CollectorConfig(url="https://collector.example", pins=[], api_key_file=folder / "api-key"),
            mqtt=MqttConfig(username="robot", password_file=folder / "password"),
            routes=[],
        ),
        **changes,
    )


def test_vaults_secrets_become_files_that_only_we_can_read_and_are_written_only_when_they_changed(
    folder: Path,
    authority: CertificateAuthority,
    kv2: Kv2,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("VAULT_TOKEN", "VAULT_ADDR", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "https://127.0.0.1:1/from-the-environment")
    kv2.secrets["robots/r7"] = {"api-key": SECRET, "mqtt": "CANARY-password"}
    wanted = {"collector.api_key_file": "robots/r7#api-key", "mqtt.password_file": "robots/r7#mqtt"}
    config = robot(folder, vault=vault_config(folder, authority, kv2, fetch=wanted))
    assert _fetch(config) == 0
    assert capsys.readouterr().out == "collector.api_key_file: written\nmqtt.password_file: written\n"
    assert read_labelled(folder / "api-key", key="k") == (SECRET, "prod collector.example")
    assert read_labelled(folder / "password", key="k") == ("CANARY-password", "")
    assert (folder / "api-key").stat().st_mode & 0o777 == 0o600
    before = (folder / "api-key").stat().st_mtime_ns
    assert _fetch(config) == 0
    assert (capsys.readouterr().out, (folder / "api-key").stat().st_mtime_ns) == ("", before)
    kv2.sealed = True
    assert _fetch(config) == 1
    said = capsys.readouterr().err
    assert "store_away" in said
    assert "CANARY" not in said
    assert read_labelled(folder / "api-key", key="k")[0] == SECRET, "a store that is away changes nothing"


@pytest.mark.parametrize(
    ("name", "token", "sealed", "reason"),
    [
        ("robots/r7#api-key", TOKEN, False, ""),
        ("robots/r8#api-key", TOKEN, False, "store_missing"),
        ("robots/deleted#api-key", TOKEN, False, "store_missing"),
        ("robots/r7#other", TOKEN, False, "store_malformed"),
        ("robots/r7", TOKEN, False, "store_malformed"),
        ("robots/r7#lines", TOKEN, False, "store_malformed"),
        ("robots/r7#number", TOKEN, False, "store_malformed"),
        ("robots/r7#api-key", "hvs.CANARY-other", False, "store_forbidden"),
        ("robots/r7#api-key", TOKEN, True, "store_away"),
    ],
)
def test_each_answer_of_vault_has_its_reason_and_no_error_holds_a_secret(
    folder: Path, authority: CertificateAuthority, kv2: Kv2, name: str, token: str, *, sealed: bool, reason: str
) -> None:
    kv2.secrets |= {"robots/r7": {"api-key": SECRET, "lines": "CANARY\ntwo", "number": 7}, "robots/deleted": None}
    kv2.sealed = sealed
    config = vault_config(folder, authority, kv2)
    write_private(folder / "token", token)
    store = VaultStore(config)
    if not reason:
        assert store.fetch(name) == SECRET
        return
    with pytest.raises(TransientError) as caught:
        store.fetch(name)
    assert caught.value.reason == reason
    assert caught.value.__context__ is None
    assert "CANARY" not in str(caught.value)


def test_a_vault_of_another_authority_or_that_is_not_there_is_away(
    folder: Path, authority: CertificateAuthority, kv2: Kv2
) -> None:
    other = CertificateAuthority.make(folder / "other")
    for changes in ({"ca_file": other.ca_file}, {"url": "https://127.0.0.1:1"}):
        with pytest.raises(TransientError, match="store_away"):
            VaultStore(vault_config(folder, authority, kv2, **changes)).fetch("a#b")


@pytest.mark.parametrize("changes", [{"url": "http://127.0.0.1:1"}, {"url": ""}, {"token_file": None}])
def test_a_vault_without_tls_or_token_is_refused(
    folder: Path, authority: CertificateAuthority, kv2: Kv2, changes: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"vault\.url"):
        VaultStore(vault_config(folder, authority, kv2, **changes))


PROFILE = "[default]\naws_access_key_id = AKIACANARY\naws_secret_access_key = CANARY/secret\n"


def test_secrets_of_aws_are_fetched_and_each_refusal_has_its_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials = write_private(folder / "aws", PROFILE)
    aws = AwsConfig(
        region="eu-central-1", credentials_file=credentials, fetch={"collector.api_key_file": "robots/r7#api-key"}
    )
    with mock_aws():
        admin = boto3.client("secretsmanager", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
        admin.create_secret(Name="robots/r7", SecretString=json.dumps({"api-key": SECRET}))
        admin.create_secret(Name="plain", SecretString=SECRET)
        admin.create_secret(Name="binary", SecretBinary=b"\0")
        admin.create_secret(Name="gone", SecretString="x")
        admin.delete_secret(SecretId="gone")
        assert _fetch(robot(folder, aws=aws)) == 0
        assert capsys.readouterr().out == "collector.api_key_file: written\n"
        assert read_labelled(folder / "api-key", key="k") == (SECRET, "prod collector.example")
        store = AwsStore(aws)
        assert store.fetch("plain") == SECRET
        for name, reason in {
            "none": "store_missing",
            "gone": "store_missing",
            "binary": "store_malformed",
            "plain#field": "store_malformed",
            "robots/r7#other": "store_malformed",
        }.items():
            with pytest.raises(TransientError) as caught:
                store.fetch(name)
            assert (caught.value.reason, caught.value.__context__) == (reason, None)


@pytest.mark.parametrize("text", ["", "[other]\naws_access_key_id = CANARY\n", "CANARY", "[default\n"])
def test_a_file_that_is_no_profile_is_refused_without_being_shown(folder: Path, text: str) -> None:
    config = AwsConfig(region="eu-central-1", credentials_file=write_private(folder / "aws", text))
    with pytest.raises(ConfigError, match=r"aws\.credentials_file") as caught:
        AwsStore(config)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_key_that_is_no_credential_is_named(folder: Path, authority: CertificateAuthority, kv2: Kv2) -> None:
    kv2.secrets["a"] = {"b": SECRET}
    config = robot(folder, vault=vault_config(folder, authority, kv2, fetch={"collector.api_key": "a#b"}))
    with pytest.raises(ConfigError, match=r"collector\.api_key_file, mqtt\.password_file"):
        _fetch(config)
