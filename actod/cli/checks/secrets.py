"""Secrets: whether they can be used, and whether somebody else could take them."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from actod import beside
from actod.cli.checks.check import Check, Finding, doubt, ok, skip, trouble
from actod.cli.checks.site import SIGNER, Site
from actod.collect.credentials import tls_context
from actod.config import Config
from actod.secretfile import is_systemd_credential, read_secret
from actod.submit.credentials import CredentialFile, api_key_file
from actod.submit.endpoint import host_of
from actod.submit.tls import client_context

_GROUP_AND_OTHERS, _OTHERS_MAY_WRITE, _STICKY = 0o077, 0o022, 0o1000
_FOLDERS = ("etc/actod/credentials", "etc/credstore", "etc/credstore.encrypted")
_REPORT = "etc/actod/report.json"  # deploy/tpm/provision writes it


def named(config: Config) -> Iterator[tuple[str, Path]]:
    """Yield each secret's file by the configuration key that names it; the PIN of a unit of its own is not ours to see."""
    files = {
        "token.pin_file": config.token.pin_file if config.signer.spawn else None,
        "collector.api_key_file": config.collector.api_key_file,
        "collector.wallet_file": config.collector.wallet_file,
        "collector.monitor_api_key_file": config.collector.monitor_api_key_file,
        "collector.private_key_file": config.collector.private_key_file,
        "fleet.api_key_file": config.fleet.api_key_file,
        "mqtt.password_file": config.mqtt.password_file,
        "mqtt.private_key_file": config.mqtt.private_key_file,
    }
    for alert in config.alerts:
        files |= {f"alerts.{alert.name}.url_file": alert.url_file, f"alerts.{alert.name}.secret_file": alert.secret_file}
    for key, path in files.items():
        if path is not None:
            yield key, path


def _one(key: str) -> Callable[[Site], Finding]:
    def look(site: Site) -> Finding:
        path = dict(named(site.config)).get(key)
        if path is None:
            return skip("the configuration names none")
        if key.endswith("api_key_file"):
            api_key_file(path, key=key, environment=site.config.environment, host=host_of(site.config.collector.url))
        elif key == "collector.wallet_file":
            CredentialFile(path, key=key)
        else:
            read_secret(path, key=key)
        return ok(f"{path}, mode {stat.S_IMODE(path.stat().st_mode):04o}")

    return look


def _pin(site: Site) -> Finding:
    if not site.config.signer.spawn:
        return skip(f"{SIGNER} reads it, and nobody else can")
    return _one("token.pin_file")(site)


def _scopes(site: Site) -> Finding:
    keys = beside.scope_keys(site.config)
    return ok(f"{', '.join(keys)}: keys of their own") if keys else skip("one API key does everything")


def _client_keys(site: Site) -> Finding:
    mqtt, collector = site.config.mqtt, site.config.collector
    if not mqtt.certificate_file and not collector.certificate_file:
        return skip("the configuration names no client certificate")
    if mqtt.certificate_file:
        tls_context(mqtt)
    if collector.certificate_file:
        client_context(collector, lambda _chain: None)
    return ok("certificate and key fit, and only we can read the key")


def _links(site: Site) -> Finding:
    count = 0
    for key, path in named(site.config):
        count += 1
        if path.is_symlink() and not is_systemd_credential(path):
            return trouble(
                f"{key}: {path} is a link to {path.readlink()}",
                f"install -m 0600 $(readlink -f {path}) {path}.new && mv {path}.new {path}",
            )
        for folder in dict.fromkeys((*path.parents, *path.resolve().parents)):  # a folder may be a link as well
            seen = folder.stat()
            if seen.st_mode & _OTHERS_MAY_WRITE and not seen.st_mode & _STICKY:
                mode = stat.S_IMODE(seen.st_mode)
                return trouble(f"{key}: others can replace {path}: {folder} has mode {mode:04o}", f"chmod go-w {folder}")
            if seen.st_uid not in site.trusted:
                return trouble(
                    f"{key}: user {seen.st_uid} can replace {path}: {folder} is that user's", f"chown root {folder}"
                )
    return ok(f"{count} files, none of them a link, none in a folder that others can write")


def _source(site: Site) -> Finding:
    plain = [key for key, path in named(site.config) if not is_systemd_credential(path)]
    if plain:
        return trouble(f"{', '.join(plain)}: plain files, which every process of this user can read at any time")
    return ok("systemd's credentials, for the unit alone")


def _folders(site: Site) -> Finding:
    found = [place for place in _FOLDERS if site.path(place).is_dir()]
    for place in found:
        mode = site.path(place).stat().st_mode
        if mode & _GROUP_AND_OTHERS:
            return trouble(f"/{place}, mode {stat.S_IMODE(mode):04o}: others see what lies there", f"chmod 700 /{place}")
    return ok(f"{', '.join('/' + place for place in found)}: for root alone") if found else skip("there is none")


def _sealing(site: Site) -> Finding:
    """Say what the PIN is encrypted to: with the host's key beside it, a stolen card holds both."""
    sealed = _sealed_to(site)
    if not sealed:
        return doubt("what the token's PIN is encrypted to is not known: deploy/tpm/provision did not make it")
    if "tpm2" in sealed:
        return ok(f"the token's PIN is encrypted to {sealed}")
    disk = site.disk(site.path("etc/actod"))
    if disk.encrypted:
        return ok(f"the token's PIN is encrypted to {sealed}, on an encrypted disk")
    return trouble(
        f"the token's PIN is encrypted to {sealed} alone, on a disk that is not encrypted: a thief of the card has it"
    )


def _sealed_to(site: Site) -> str:
    try:
        report = orjson.loads(site.text(_REPORT) or "{}")
        return str(report["report"]["pin_sealed_to"])
    except (ValueError, KeyError, TypeError):
        return ""


GROUP = "secrets"
CHECKS = (
    Check(
        id="secret-api-key",
        looks_at="collector.api_key_file: owner, mode, content, and (in prod) the label that binds it to this server",
        run=_one("collector.api_key_file"),
        mend="actod credentials rotate submit --new FILE",
        elsewhere="fail",
    ),
    Check(
        id="secret-wallet",
        looks_at="collector.wallet_file: owner, mode, content",
        run=_one("collector.wallet_file"),
        mend="install -m 0600 /dev/stdin FILE",
        elsewhere="fail",
    ),
    Check(
        id="secret-pin",
        looks_at="token.pin_file, where the daemon starts the signer: owner, mode, content",
        run=_pin,
        mend="chmod 600 FILE",
        elsewhere="fail",
    ),
    Check(
        id="secret-broker",
        looks_at="mqtt.password_file: owner, mode, content",
        run=_one("mqtt.password_file"),
        mend="actod credentials rotate broker --new FILE",
        elsewhere="fail",
    ),
    Check(
        id="secret-scopes",
        looks_at="the keys that sample proofs and report health: usable, and other ones than the one that submits",
        run=_scopes,
        mend="actod credentials rotate fleet --new FILE",
        elsewhere="fail",
        needs=("secret-api-key",),
    ),
    Check(
        id="secret-client-keys",
        looks_at="private keys of client certificates: owner, mode, and whether they fit",
        run=_client_keys,
        mend="chmod 600 FILE",
        elsewhere="fail",
    ),
    Check(
        id="secret-links",
        looks_at="symbolic links, and folders in which others could put another file in a secret's place",
        run=_links,
        mend="chmod go-w FOLDER",
    ),
    Check(
        id="secret-source",
        looks_at="whether secrets come as systemd's credentials or as plain files",
        run=_source,
        mend="systemctl edit actod   # [Service] LoadCredential=NAME:FILE, and credential:NAME in the configuration",
        elsewhere="ok",
        prod="warn",
    ),
    Check(
        id="secret-folders",
        looks_at="mode of the folders from which systemd takes credentials",
        run=_folders,
        mend="chmod 700 /etc/actod/credentials",
    ),
    Check(
        id="secret-sealing",
        looks_at="what the PIN is encrypted to: the host's key alone is worth nothing on a disk that is not encrypted",
        run=_sealing,
        mend="cryptsetup reencrypt --encrypt DEVICE   # or a new token: /usr/lib/actod/tpm/provision tpm --seal host+tpm2",
    ),
)
