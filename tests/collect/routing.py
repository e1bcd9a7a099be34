"""A router under test, from the words of a real configuration file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from actod.collect.admission import IntakeAdmission
from actod.collect.broker_drops import BrokerDrops
from actod.collect.contents import Contents
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.config import DeviceConfig, IntakeConfig, RouteConfig
from actod.model import Delivery, Instant
from actod.ports import Clock
from actod.service.clock import SystemClock

KEY = b"k" * 32
SECOND = 1_000_000_000

VDA2 = RouteConfig(name="vda2", topic="uagv/v2/+/+/+", profile="vda5050-v2")
VDA3 = RouteConfig(name="vda3", topic="vda5050/v3/+/+/+", profile="vda5050-v3")
ANY = RouteConfig(name="any", topic="t/#")


def make_router(
    *routes: RouteConfig,
    intake: Mapping[str, Any] | None = None,
    robots: Mapping[str, str] | None = None,
    identities: Mapping[str, str] | None = None,
    digest_key: bytes = KEY,
) -> PayloadRouter:
    return PayloadRouter(
        routes=Routes.compile(routes or [ANY]),
        device=DeviceConfig(robots=dict(robots or {})),
        intake=IntakeConfig(**dict(intake or {})),
        identities=dict(identities or {}),
        digest_key=digest_key,
    )


def make_admission(
    *routes: RouteConfig,
    router: PayloadRouter,
    folder: Path = Path("/nowhere"),
    memory: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    events: list[tuple[str, dict[str, Any]]] | None = None,
    broker_drops: BrokerDrops | None = None,
    **intake: Any,
) -> IntakeAdmission:
    """Make the admission behind a router of the same routes."""
    chosen = list(routes or [ANY])
    told = [] if events is None else events
    config: Any = SimpleNamespace(intake=IntakeConfig(**intake), routes=chosen)
    return IntakeAdmission(
        config=config,
        routes=Routes.compile(chosen),
        router=router,
        broker_drops=broker_drops or BrokerDrops(),
        contents=Contents(folder, max_bytes=80_000, on_event=lambda name, **fields: told.append((name, fields))),
        clock=clock or SystemClock(),
        digest_key=KEY,
        memory=memory or {},
        on_event=lambda name, **fields: told.append((name, fields)),
    )


def deliver(topic: str, payload: object = b"{}", *, at: float = 1.0, **options: Any) -> Delivery:
    """Make a delivery at `at` seconds on both clocks. What is not bytes is written as JSON."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    values: dict[str, Any] = {"qos": 1, "packet_id": 1, "connection": 1, "duplicate": False, "retained": False}
    return Delivery(topic=topic, payload=body, received=Instant(int(at * SECOND), int(at * SECOND)), **(values | options))


def write_config(folder: Path, routes: str, extra: str = "") -> Path:
    """Write a whole configuration file with some routes."""
    file = folder / "actod.toml"
    file.write_text(
        f"""environment = "dev"
state_directory = "{folder}/state"
[token]
uri = "pkcs11:token=t?module-path=/none"
pin_file = "{folder}/pin"
[collector]
url = "https://127.0.0.1:1"
pins = ["sha256/{"A" * 43}=", "sha256/{"B" * 43}="]
api_key_file = "{folder}/key"
{extra}
{routes}
""",
        encoding="utf-8",
    )
    return file
