"""The main path, on one screen. Each loop never waits for what lies behind the disk after it.

               never waits for the token                 never waits for the network
      MQTT --> collect --> mask --> JOURNAL --> seal --> OUTBOX --> submit --> HTTPS collector
                 ^                  (disk)     bundle     (disk)      |
                 +---- PUBACK, in -----+      sign ^                  +--> receipt --> archive, audit log
                       arrival order               |
                                            actod signer (own process: token, PIN, nothing else)

What the parts promise stands in `actod/ports.py`; which parts they are is known to `actod/daemon.py` alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import structlog

from actod.errors import RejectedError, SuspectError, TransientError
from actod.model import Delivery, Envelope, Group, MaskedReading
from actod.ports import AuditLog, LossCounter, Masker, Pulse, RefusalAudit, Router, Sealer, Source, Spool, Uplink, Vault

_SLICE = 64  # messages masked before the loop may turn to the socket again
_LARGE_BYTES = 16 * 1024  # masked beside the loop: hostile text may take a second, and the socket must not wait for it
_RETRY_SECONDS = 1.0  # a full or read-only disk is tried again at this pace
_UNMASKABLE = "mask_failed"
_STALE = "bundle_stale"  # the store was repaired while the token signed: what was cut is cut anew

_log = structlog.get_logger(__name__)


async def collect(
    *,
    source: Source,
    router: Router,
    masker: Masker,
    spool: Spool,
    audit: AuditLog,
    losses: Iterable[LossCounter],
    refusals: RefusalAudit,
    vault: Vault | None,
    largest_event_bytes: int,
    pulse: Pulse,
    admitting: asyncio.Lock,
) -> None:
    """MQTT -> mask -> JOURNAL -> PUBACK. Ends when the source does, with everything it yielded durable.

    `admitting` is held while a group is routed and masked: a new configuration comes in between two groups.
    """
    async for deliveries in source.groups():
        async with admitting:
            group = await _admit(
                deliveries, router=router, masker=masker, vault=vault, largest_event_bytes=largest_event_bytes, pulse=pulse
            )
        for counter in losses:
            group.refusals.update(counter.take())
        refusals.count(group.refusals)
        await _until_possible(partial(_commit, group, spool, pulse), audit)  # not acknowledged: the broker keeps it
        source.acknowledge(deliveries)
        pulse.rest()


async def seal(*, spool: Spool, sealer: Sealer, audit: AuditLog) -> None:
    """JOURNAL -> bundle -> signature -> OUTBOX. While the token is away the journal grows and nothing else happens."""
    while True:
        bundle = await spool.next_bundle()
        envelope = await sealer.seal(bundle)
        await _until_possible(partial(spool.put, bundle, envelope), audit)


async def submit(*, spool: Spool, uplink: Uplink, audit: AuditLog) -> None:
    """OUTBOX -> collector -> receipt -> archive. The uplink paces itself; here are only the verdicts."""
    while True:
        envelope = await spool.next_envelope()
        await _until_possible(await _attempt(envelope, spool=spool, uplink=uplink), audit)


async def _attempt(envelope: Envelope, *, spool: Spool, uplink: Uplink) -> Callable[[], Awaitable[None]]:
    """Make one attempt, and return what the store must do about its end."""
    try:
        receipt = await uplink.submit(envelope)
    except RejectedError as refusal:
        return partial(spool.set_aside, envelope, refusal.reason)
    except SuspectError:
        return partial(spool.defer, envelope)
    except TransientError:
        return _nothing  # the uplink has waited; something more urgent may have come
    return partial(spool.receipt, envelope, receipt)


async def _nothing() -> None:
    return


async def _commit(group: Group, spool: Spool, pulse: Pulse) -> None:
    pulse.beat()  # a disk that refuses for hours is no task that hangs
    await spool.commit(group)


async def _admit(
    deliveries: Sequence[Delivery],
    *,
    router: Router,
    masker: Masker,
    vault: Vault | None,
    largest_event_bytes: int,
    pulse: Pulse,
) -> Group:
    """Turn what arrived into what may be stored: masked readings, and counts of what was refused."""
    group = Group()
    for index, delivery in enumerate(deliveries):
        pulse.beat()
        try:
            reading = router.route(delivery)
            large = len(delivery.payload) > _LARGE_BYTES
            masked = await asyncio.to_thread(masker.mask, reading) if large else masker.mask(reading)
            group.readings.append(_held_to(largest_event_bytes, masked))
        except RejectedError as refusal:
            if refusal.reason == _UNMASKABLE and vault is not None:
                await asyncio.to_thread(vault.keep, delivery)
            route, traffic_class = router.describe(delivery)
            group.refuse(reason=refusal.reason, traffic_class=traffic_class, route=route)
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    group.identities.update(router.new_identities())
    return group


def _held_to(largest_event_bytes: int, reading: MaskedReading) -> MaskedReading:
    """Refuse what no collector would take: a canonical event may be four times as long as its payload (1e15)."""
    if len(reading.event) > largest_event_bytes:
        raise RejectedError("event_too_large")
    return reading


async def _until_possible(work: Callable[[], Awaitable[None]], audit: AuditLog) -> None:
    """Have the store do it, however long the disk refuses: nothing is changed by a refusal, and nothing is given up."""
    refused = ""
    while True:
        try:
            await work()
        except TransientError as exc:
            if exc.reason == _STALE:
                return
            if exc.reason != refused:
                refused = exc.reason
                audit.record("store.blocked", reason=refused)
                _log.error("The disk refuses; it is tried again, and nothing is given up.", reason=refused)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            if refused:
                audit.record("store.resumed", reason=refused)
                _log.info("The disk takes data again.", reason=refused)
            return
