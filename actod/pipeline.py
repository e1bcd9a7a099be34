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

from actod.errors import RejectedError, SuspectError, TooLargeError, TransientError
from actod.model import Bundle, Delivery, Envelope, Group, MaskedReading
from actod.ports import (
    Admission,
    AuditLog,
    LossCounter,
    Masker,
    Pulse,
    RefusalAudit,
    Router,
    Sealer,
    Sending,
    Source,
    Spool,
    Vault,
)

_SLICE = 64  # messages masked before the loop may turn to the socket again
_LARGE_BYTES = 16 * 1024  # masked beside the loop: hostile text may take a second, and the socket must not wait for it
_RETRY_SECONDS = 1.0  # a full or read-only disk is tried again at this pace
_MOST_REPLACING = 32  # bundles that are being sealed again; the journal keeps a total for each
_UNMASKABLE = "mask_failed"
_STALE = "bundle_stale"  # the store was repaired while the token signed: what was cut is cut anew

_log = structlog.get_logger(__name__)


async def collect(
    *,
    source: Source,
    router: Router,
    admission: Admission,
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
                deliveries,
                router=router,
                admission=admission,
                masker=masker,
                vault=vault,
                largest_event_bytes=largest_event_bytes,
                pulse=pulse,
            )
        await _until_possible(partial(_secure, admission, pulse), audit)
        _count(group, admission=admission, losses=losses, refusals=refusals)
        await _until_possible(partial(_commit, group, spool, audit, pulse), audit)  # not acknowledged: the broker keeps it
        source.acknowledge(deliveries)
        pulse.rest()
    last = Group()
    _count(last, admission=admission, losses=losses, refusals=refusals)
    if last.refusals:
        await _until_possible(partial(spool.commit, last), audit)


async def seal(*, spool: Spool, sealer: Sealer, audit: AuditLog) -> None:
    """JOURNAL -> bundle -> signature -> OUTBOX. While the token is away the journal grows and nothing else happens."""
    while True:
        bundle = await spool.next_bundle()
        envelope = await sealer.seal(bundle)
        await _until_possible(partial(_put, bundle, envelope, spool, audit), audit)


async def submit(*, spool: Spool, uplink: Sending, audit: AuditLog, parallel: int) -> None:
    """OUTBOX -> collector -> receipt -> archive. The uplink paces itself; here are only the verdicts."""
    async with asyncio.TaskGroup() as group:
        for number in range(parallel):
            group.create_task(_deliver(spool=spool, uplink=uplink, audit=audit), name=f"submit-{number}")


async def _deliver(*, spool: Spool, uplink: Sending, audit: AuditLog) -> None:
    """Send one after the other. What is in hand is nobody else's; after each the most urgent is chosen anew."""
    while True:
        envelope = await spool.take(uplink.held)
        await _until_possible(await _attempt(envelope, spool=spool, uplink=uplink), audit)


async def _attempt(envelope: Envelope, *, spool: Spool, uplink: Sending) -> Callable[[], Awaitable[None]]:
    """Make one attempt, and return what the store must do about its end."""
    try:
        receipt = await uplink.submit(envelope)
    except TooLargeError as refusal:
        return partial(_split, envelope, refusal, spool=spool)
    except RejectedError as refusal:
        return partial(spool.set_aside, envelope, refusal.reason)
    except SuspectError:
        return partial(spool.defer, envelope)
    except TransientError:
        return partial(spool.give_back, envelope)  # the uplink has waited; something more urgent may have come
    return partial(spool.receipt, envelope, receipt)


async def _split(envelope: Envelope, refusal: TooLargeError, *, spool: Spool) -> None:
    """Have it sealed again in smaller bundles; not more at a time than the token can keep up with."""
    if await spool.replacing() >= _MOST_REPLACING:
        await spool.defer(envelope)
        await asyncio.sleep(_RETRY_SECONDS)
    elif not await spool.split(envelope, most_bytes=refusal.most_bytes):
        await spool.set_aside(envelope, refusal.reason)


async def _commit(group: Group, spool: Spool, audit: AuditLog, pulse: Pulse) -> None:
    pulse.beat()  # a disk that refuses for hours is no task that hangs
    audit.require_room()
    await spool.commit(group)


async def _put(bundle: Bundle, envelope: Envelope, spool: Spool, audit: AuditLog) -> None:
    audit.require_room(sealing=True)
    await spool.put(bundle, envelope)


async def _secure(admission: Admission, pulse: Pulse) -> None:
    pulse.beat()
    await admission.secure()


async def _admit(
    deliveries: Sequence[Delivery],
    *,
    router: Router,
    admission: Admission,
    masker: Masker,
    vault: Vault | None,
    largest_event_bytes: int,
    pulse: Pulse,
) -> Group:
    """Turn what arrived into what may be stored: masked readings, and counts of what was refused or left out."""
    group = Group()
    for index, delivery in enumerate(deliveries):
        pulse.beat()
        reading = None
        try:
            reading = router.route(delivery)
            admission.admit(reading)
            large = len(delivery.payload) > _LARGE_BYTES
            masked = await asyncio.to_thread(masker.mask, reading) if large else masker.mask(reading)
            group.readings.append(_held_to(largest_event_bytes, admission.finish(reading, masked)))
        except RejectedError as refusal:
            if refusal.reason == _UNMASKABLE and vault is not None:
                await asyncio.to_thread(vault.keep, delivery)
            route, traffic_class = (
                (reading.route, str(reading.traffic_class)) if reading else router.describe(delivery.topic)
            )
            group.refuse(reason=refusal.reason, traffic_class=traffic_class, route=route)
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
    group.identities.update(router.new_identities())
    return group


def _count(group: Group, *, admission: Admission, losses: Iterable[LossCounter], refusals: RefusalAudit) -> None:
    """Add what was lost before it could be a delivery, and what must be known again: nothing comes between the two."""
    for counter in losses:
        group.refusals.update(counter.take())
    group.memory = admission.memory()
    if group.refusals:
        refusals.count(group.refusals)


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
