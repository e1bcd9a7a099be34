"""Secret stores on the network, by their own clients: Vault's KV version 2 (hvac) and AWS Secrets Manager (boto3).

Only `actod credentials fetch` uses them, to write the files that the daemon reads: the daemon loads neither client, and
starts without the network. Nothing is taken from the environment: neither address, token, proxy nor trust store.
"""

from __future__ import annotations

import configparser
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson

from actod.config import AwsConfig, Config, VaultConfig
from actod.errors import ConfigError, TransientError
from actod.secretfile import read_private, read_secret

_SECONDS = 10.0


class SecretStore(Protocol):
    """Where secrets can be fetched from."""

    def fetch(self, name: str) -> str:
        """Return one secret. Raises TransientError: store_away, store_forbidden, store_missing, store_malformed."""


class VaultStore:
    """KV version 2. A name is `path#field` below the mount. Raises ConfigError."""

    def __init__(self, vault: VaultConfig) -> None:
        if urlsplit(vault.url).scheme != "https" or vault.token_file is None:
            raise ConfigError(
                key="vault.url",
                expected="an https:// URL, and a token_file beside it",
                fix="name both; there is no switch for http",
            )
        hvac, requests = _client("hvac", extra="vault"), _client("requests", extra="vault")
        session = requests.Session()
        session.trust_env = False
        session.verify = str(vault.ca_file) if vault.ca_file else True  # hvac takes the session's, whatever it is told
        self._errors, self._foreign = hvac.exceptions, (requests.RequestException, hvac.exceptions.VaultError, ValueError)
        self._mount = vault.mount
        self._hvac = hvac.Client(
            url=vault.url,
            token=read_secret(vault.token_file, key="vault.token_file"),
            timeout=_SECONDS,
            session=session,
            allow_redirects=False,
        )

    def fetch(self, name: str) -> str:
        """Read the newest version. See the port."""
        path, _, field = name.partition("#")
        reason = "store_away"
        try:
            answer = self._hvac.secrets.kv.v2.read_secret_version(
                path=path, mount_point=self._mount, raise_on_deleted_version=True
            )
            return _text(answer["data"]["data"].get(field))
        except (KeyError, TypeError, AttributeError):
            reason = "store_malformed"
        except self._foreign as exc:
            if isinstance(exc, self._errors.Forbidden | self._errors.Unauthorized):
                reason = "store_forbidden"
            elif isinstance(exc, self._errors.InvalidPath):
                reason = "store_missing"
        raise TransientError(reason, f"vault: {name}")  # outside of the handler: a foreign exception may hold the token


class AwsStore:
    """Secrets Manager. A name is the secret's, with `#field` for a member of a JSON object. Raises ConfigError."""

    def __init__(self, aws: AwsConfig) -> None:
        if not aws.region or aws.credentials_file is None:
            raise ConfigError(key="aws.region", expected="a region, and a credentials_file beside it", fix="name both")
        boto3, botocore = _client("boto3", extra="aws"), _client("botocore.config", extra="aws")
        self._errors = _client("botocore.exceptions", extra="aws")
        profile = _profile(aws.credentials_file)
        self._client = boto3.session.Session(
            aws_access_key_id=profile.get("aws_access_key_id"),
            aws_secret_access_key=profile.get("aws_secret_access_key"),
            aws_session_token=profile.get("aws_session_token"),
            region_name=aws.region,
        ).client(
            "secretsmanager",
            verify=True,
            config=botocore.Config(
                connect_timeout=_SECONDS,
                read_timeout=_SECONDS,
                retries={"total_max_attempts": 2},
                proxies={},
                ignore_configured_endpoint_urls=True,
            ),
        )

    def fetch(self, name: str) -> str:
        """Read the current version. See the port."""
        secret_id, _, field = name.partition("#")
        reason = "store_away"
        try:
            text = self._client.get_secret_value(SecretId=secret_id)["SecretString"]
            return _text(orjson.loads(text).get(field) if field else text)
        except self._errors.ClientError as exc:
            code = str(exc.response.get("Error", {}).get("Code", ""))
            missing = code in {"ResourceNotFoundException", "InvalidRequestException"}  # the second: marked for deletion
            away = code in {"InternalServiceError", "ThrottlingException"}
            reason = "store_missing" if missing else "store_away" if away else "store_forbidden"
        except self._errors.BotoCoreError:
            reason = "store_away"
        except (KeyError, TypeError, AttributeError, ValueError):
            reason = "store_malformed"
        raise TransientError(reason, f"aws: {name}")  # outside of the handler, as above


def stores(config: Config) -> list[tuple[SecretStore, Mapping[str, str]]]:
    """Return each store that the configuration names, with what to fetch there. Raises ConfigError."""
    found: list[tuple[SecretStore, Mapping[str, str]]] = []
    if config.vault.fetch:
        found.append((VaultStore(config.vault), config.vault.fetch))
    if config.aws.fetch:
        found.append((AwsStore(config.aws), config.aws.fetch))
    return found


def _client(name: str, *, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise ConfigError(
            key=f"{extra}.fetch", expected=f"the client of {extra}", found="none", fix=f"pip install 'actod[{extra}]'"
        ) from exc


def _profile(path: Path) -> Mapping[str, str]:
    """Read the default profile of a credentials file in AWS's own form, which only we may read. Raises ConfigError."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_private(path, key="aws.credentials_file").decode())
        return dict(parser["default"])
    except (configparser.Error, UnicodeDecodeError, KeyError):
        pass  # raised below, outside of the handler: what was caught may quote the file
    raise ConfigError(
        key="aws.credentials_file",
        expected="a credentials file of AWS with a [default] profile",
        found=str(path),
        fix="aws_access_key_id and aws_secret_access_key stand below [default]",
    )


def _text(value: Any) -> str:
    """Return a secret that can stand in a file of one line. Raises TypeError."""
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise TypeError("no text of one line")
    return value
