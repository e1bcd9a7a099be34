"""A new configuration for the running daemon: checked, then taken between two groups; or refused, and the old one stays.

Nothing that was read, journaled or queued is touched. What can change so is listed below and in docs/reload.md; the rest
takes a restart, and is named as such.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from actod import configfile
from actod.collect.routes import Routes
from actod.config import Config
from actod.dryrun import admit
from actod.errors import ActodError, ConfigError, RejectedError, TransientError
from actod.mask.policy import Policy
from actod.parts import Parts, collector_client
from actod.submit.ages import credential_files
from actod.submit.https import HttpsClient
from actod.submit.tls import CollectorTls

# What a running daemon takes: of each table these keys, or all of them. The rest is built into parts that hold data or pace.
IN_PLACE: dict[str, tuple[str, ...]] = {
    "device": ("robots",),
    "intake": ("max_group", "max_messages", "max_bytes", "max_depth"),
    "routes": (),
    "masking": (
        "mask_char",
        "preserve_length",
        "pseudonym_epoch_days",
        "max_depth",
        "max_leaf_bytes",
        "max_decode_depth",
        "rules",
        "detectors",
        "schemas",
    ),
    "collector": (
        "url",
        "pins",
        "pin_set",
        "pins_report_only_until",
        "api_key_file",
        "wallet_file",
        "ca_file",
        "certificate_file",
        "private_key_file",
        "proxy",
        "connect_timeout_seconds",
        "request_timeout_seconds",
    ),
}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Checked:
    """What a configuration was compiled to. `client` is None where what there is can go on."""

    config: Config
    routes: Routes
    policy: Policy
    client: tuple[HttpsClient, CollectorTls] | None


class Reloader:
    """Takes a changed configuration. `config` is the one in force, `refused` says why the newest one is not."""

    def __init__(self, parts: Parts, *, config_file: Path) -> None:
        self._parts, self._config_file = parts, config_file
        self.config = parts.config
        self.refused = ""
        self.admitting = asyncio.Lock()
        self._one = asyncio.Lock()
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have the files read again soon (SIGHUP). Many calls at once may be served by one reading."""
        self._asked.set()

    async def run(self) -> None:
        """Serve `ask` for ever; a refusal is in the log, in the audit log and in the status."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            with suppress(ActodError):
                await self.reload()

    async def reload(self) -> dict[str, Any]:
        """Read the files and take what is in them. Returns what changed, and what a restart is needed for.

        Raises ConfigError (with file, key and remedy) or RejectedError; then nothing has changed.
        """
        async with self._one:
            self._parts.notifier.reloading()
            try:
                checked, waiting = await asyncio.to_thread(self._check)
                return await self._take(checked, waiting)
            except ConfigError as exc:
                self._refuse(exc)
                raise
            except Exception as exc:  # a defect of ours is no reason to lose a daemon that works
                self._refuse(ConfigError(key="(reload)", expected="a configuration that can be taken", fix="see the log"))
                raise RejectedError("reload_failed", type(exc).__name__) from exc
            finally:
                self._parts.notifier.send(READY="1")

    def _check(self) -> tuple[_Checked, list[str]]:
        """Read and compile on a thread: neither the socket nor the disk waits for it. Raises ConfigError."""
        try:
            new = configfile.load(self._config_file)
            config = in_force(self.config, new)
            admit(new)  # what only a restart takes must be right, too: the next boot takes it
            routes, policy = Routes.compile(config.routes), Policy.compile(config.masking)
            client = None
            if config.collector != self.config.collector:  # the last to be made: it says in the audit log what it holds to
                parts = self._parts
                client = collector_client(
                    config, clock=parts.clock, audit=parts.audit, hold=parts.hold, wire=parts.client.wire
                )
        except ConfigError as exc:
            raise configfile.located(exc, self._config_file) from exc
        return _Checked(config, routes, policy, client), sorted(differences(config, new))

    async def _take(self, checked: _Checked, waiting: list[str]) -> dict[str, Any]:
        parts, config = self._parts, checked.config
        changed = sorted(differences(self.config, config))
        masked_otherwise = any(key.startswith("masking.") for key in changed)
        if checked.policy.digest != parts.masker.policy_digest and not masked_otherwise:
            changed.append("masking.schemas")  # a file that it names says something else now
        digest = configfile.digest(config)
        if changed:
            async with self.admitting:
                self._exchange(checked, digest)
            if checked.client is not None:
                timeout = config.collector.request_timeout_seconds
                await parts.current.adopt(*checked.client, request_timeout_seconds=timeout)
                parts.ages.files = credential_files(config)
                parts.uplink.wake()  # what held it up may be what was mended
            with suppress(TransientError):  # a full disk: each bundle names the digest all the same
                await parts.records.write("configuration", config=digest, policy=checked.policy.digest, changed=changed)
        self.config, self.refused = config, ""
        parts.audit.record("config.reloaded", config=digest, changed=len(changed), waiting=len(waiting))
        _log.info("The configuration was read again.", config=digest, changed=changed, needs_restart=waiting)
        return {"config": digest, "changed": changed, "needs_restart": waiting}

    def _exchange(self, checked: _Checked, digest: str) -> None:
        """Put the new in the place of the old. Nothing awaits here, so no message sees a half of each."""
        parts, config = self._parts, checked.config
        parts.router.adopt(routes=checked.routes, device=config.device, intake=config.intake)
        for masker in (parts.masker, parts.own_masker):
            masker.adopt(checked.policy, pseudonym_key=parts.pseudonyms.key)
        parts.pseudonyms.days = config.masking.pseudonym_epoch_days
        parts.context.adopt(config_digest=digest, policy=checked.policy.digest)
        parts.admission.adopt(config=config, routes=checked.routes)
        parts.source.adopt(
            intake=config.intake, subscriptions=checked.routes.subscriptions(), describe=checked.routes.describe
        )

    def _refuse(self, error: ConfigError) -> None:
        self.refused = f"{error.file}: {error.key}"
        self._parts.audit.record("config.refused", file=error.file, key=error.key)
        _log.error(
            "The new configuration is refused; the old one stays in force.",
            file=error.file,
            key=error.key,
            expected=error.expected,
            found=error.found,
            fix=error.fix,
        )


def in_force(old: Config, new: Config) -> Config:
    """Return what a running daemon makes of a new configuration: the old one, but for what it takes in place."""
    tables: dict[str, Any] = {}
    for table, taken in IN_PLACE.items():
        before, after = getattr(old, table), getattr(new, table)
        tables[table] = replace(before, **{key: getattr(after, key) for key in taken}) if taken else after
    return replace(old, **tables)


def differences(one: Config, other: Config) -> set[str]:
    """Return the dotted keys that differ; a list counts as one."""
    left, right = dict(_flat(dataclasses.asdict(one))), dict(_flat(dataclasses.asdict(other)))
    return {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)}


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
