"""The token: whether it answers, what it is, how near it is to a lockout, and how old its key is."""

from __future__ import annotations

import stat

from actod.cli.checks.check import Check, Finding, doubt, ok, skip, trouble
from actod.cli.checks.site import Site
from actod.errors import RejectedError, TransientError
from actod.keys import lockout
from actod.keys.listing import age_days, max_age_days
from actod.keys.remedies import remedy
from actod.keys.ring import read_state
from actod.proof.envelope import iso

_STORE, _DEVICE = "var/lib/actod-token", "dev/tpmrm0"
_SOFTWARE = "token_software"
_GROUP_AND_OTHERS, _OTHERS = 0o077, 0o007
_WARN_SHARE = 0.9  # of the key's days: a month before the end of a year


def _token(site: Site) -> Finding:
    try:
        keys = site.signing_keys()
        state = read_state(site.config.state_directory)
    except (TransientError, RejectedError) as exc:
        if exc.reason == _SOFTWARE:
            return ok("it answers; its keys are not used: token-hardware says why")
        return trouble(str(exc), remedy(exc.reason))
    current = state.current.ed25519 if state and state.current else keys[-1].ed25519_thumbprint
    for key in keys:
        if key.ed25519_thumbprint == current:
            return ok(f"{key.kind} key {current}")
    return trouble(f"the key in use, {current}, is not on this token", remedy("key_gone"))


def _hardware(site: Site) -> Finding:
    try:
        kinds = {each.kind for each in site.signing_keys()}
    except TransientError as exc:
        return trouble(str(exc), remedy(exc.reason)) if exc.reason == _SOFTWARE else skip(str(exc))
    if "software" in kinds:
        return trouble("a token in software: whoever copies its files has the key, and each bundle says so")
    return ok(f"key {', '.join(sorted(kinds))}")


def _storage(site: Site) -> Finding:
    folder = site.path(_STORE)
    if not folder.is_dir():
        return skip(f"there is no /{_STORE}")
    seen = folder.stat()
    if seen.st_mode & _GROUP_AND_OTHERS:
        return trouble(f"/{_STORE}, mode {stat.S_IMODE(seen.st_mode):04o}: others can copy the token's files")
    return ok(f"/{_STORE}, mode {stat.S_IMODE(seen.st_mode):04o}, of user {seen.st_uid}")


def _is_tpm(site: Site) -> bool:
    return "tpm2" in site.config.token.uri.lower()


def _device(site: Site) -> Finding:
    device = site.path(_DEVICE)
    if not _is_tpm(site) or not device.exists():
        return skip("no TPM of this machine is used")
    mode = stat.S_IMODE(device.stat().st_mode)
    if mode & _OTHERS:
        return trouble(f"/{_DEVICE}, mode {mode:04o}: every user can try PINs, and so lock it")
    return ok(f"/{_DEVICE}, mode {mode:04o}")


def _lockout(site: Site) -> Finding:
    """Say how near the TPM is to locking itself: each wrong PIN counts, and each power cut."""
    if not _is_tpm(site):
        return skip("the token is no TPM")
    protection = lockout.ask_tpm()
    if protection is None:
        return doubt(
            "not known: the TPM does not answer tpm2_getcap",
            "apt-get install tpm2-tools && sudo actod check --only tpm-lockout",
        )
    failures, most = protection.failures, protection.most
    detail = f"{failures} failures of {most} count, one is forgiven every {protection.interval_seconds} s"
    if protection.locked:
        return trouble(f"{detail}: locked for at most {protection.seconds_left:.0f} s", "actod status   # it unlocks itself")
    if 2 * failures >= most:
        return doubt(detail)
    return ok(detail)


def _key_age(site: Site) -> Finding:
    try:
        state = read_state(site.config.state_directory)
    except RejectedError as exc:
        return trouble(str(exc), remedy(exc.reason))
    if state is None or state.current is None:
        return ok("no key was in use yet")
    days, allowed = age_days(state.since, iso(site.clock.now().wall_ns)), max_age_days(site.config)
    if state.pending is not None:
        return doubt(f"a {state.pending.statement.purpose} is under way", remedy("key_change_pending"))
    if days is None or state.since[:19] > iso(site.clock.now().wall_ns)[:19]:
        return doubt(f"in use since {state.since[:40]!r}, which is no time, or by the clock to come", "timedatectl")
    detail = f"in use for {days} of {allowed} days"
    if days >= allowed:
        return trouble(detail)
    return doubt(detail) if days >= _WARN_SHARE * allowed else ok(detail)


GROUP = "token"
CHECKS = (
    Check(
        id="token-answers",
        looks_at="whether it opens with its PIN, and holds the key in use",
        run=_token,
        mend="actod keys list",
        elsewhere="fail",
        needs=("configuration-valid", "secret-pin"),
        limit_seconds=60.0,  # a signer of its own is started where none runs, and a TPM takes its time
    ),
    Check(
        id="token-hardware",
        looks_at="whether the key lies in hardware; a token in software has each bundle say so",
        run=_hardware,
        mend="/usr/lib/actod/tpm/provision tpm",
        elsewhere="ok",
        needs=("token-answers",),
    ),
    Check(
        id="token-storage",
        looks_at="mode of the folder with the token's own files (/var/lib/actod-token)",
        run=_storage,
        mend="chmod 700 /var/lib/actod-token",
    ),
    Check(
        id="tpm-device",
        looks_at="whether every user of the machine can reach the TPM",
        run=_device,
        mend="chmod 660 /dev/tpmrm0 && udevadm trigger /dev/tpmrm0",
    ),
    Check(
        id="tpm-lockout",
        looks_at="the TPM's counter of failures: wrong PINs and unclean stops; a warning from half of the way on",
        run=_lockout,
        mend="actod keys list   # with the right PIN; stop the robot in order: an unclean stop counts as a wrong PIN",
        elsewhere="fail",
    ),
    Check(
        id="key-age",
        looks_at="how long the key has been in use; a warning from 90 % of token.key_max_age_days on",
        run=_key_age,
        mend="actod keys rotate",
        prod="warn",
    ),
)
