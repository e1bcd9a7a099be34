"""What the signer does about each CKR_* at each call to the token.

| CKR_* | load | slots | login | find | attribute | sign | make |
|---|---|---|---|---|---|---|---|
| PIN_INCORRECT, PIN_INVALID, PIN_LEN_RANGE, PIN_EXPIRED, PIN_TOO_WEAK | stop | stop | stop | stop | stop | stop | stop |
| PIN_LOCKED | stop | stop | stop | stop | stop | stop | stop |
| USER_PIN_NOT_INITIALIZED | wait | wait | wait | wait | wait | wait | wait |
| TOKEN_NOT_PRESENT, TOKEN_NOT_RECOGNIZED, DEVICE_REMOVED, SLOT_ID_INVALID | wait | wait | wait | wait | wait | wait | wait |
| FUNCTION_CANCELED | retry | retry | wait | wait | retry | retry | wait |
| HOST_MEMORY | wait | wait | wait | wait | wait | wait | wait |
| any other | wait | wait | wait | wait | wait | rebuild | wait |

The calls: load (dlopen, C_GetFunctionList, C_Initialize, C_GetInfo), slots (C_GetSlotList, C_GetSlotInfo, C_GetTokenInfo,
C_GetMechanismList), login (C_OpenSession, C_Login), find (C_FindObjectsInit, C_FindObjects, C_FindObjectsFinal), attribute
(C_GetAttributeValue), sign (C_SignInit, C_Sign), make (C_GenerateKeyPair, C_CreateObject). What C_Logout, C_CloseSession and
C_Finalize answer changes nothing: after them the library is initialised anew, or the process ends.

The verdicts:
- retry: the same call once more, at once; a second failure is a rebuild (of a signature) or a wait. A search is several
  calls, and stays open after a failure.
- rebuild: forget key, session and token, initialise the library anew, find, log in, probe, and do the request once more, at
  once. After a restart of a TPM or of its resource manager nothing less helps: each call would give CKR_GENERAL_ERROR.
- wait: forget and close everything; the first request after a pause that grows to 5 s builds anew. A request that makes
  a key is never repeated by itself. When this was in vain for 100 s, the process ends, and is started anew.
- stop: this PIN is not sent again. Another PIN in its file is; and where a TPM has locked itself, the same one once the
  lockout has ended. A wrong PIN (not: a locked one) is never repeated.

What is not a CKR_*: a call that does not come back, or that ends the process, is the parent's affair (`supervisor.py`). A
token that says CKF_USER_PIN_FINAL_TRY gets no PIN at all: the last try is the operator's. A signature that does not
verify in software does not leave the signer (`signature_wrong`: rebuild; `probe_failed`: wait).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from pkcs11 import exceptions
from pkcs11.exceptions import PKCS11Error

from actod.errors import TransientError

T = TypeVar("T")


class Call(StrEnum):
    """Which part of the token's interface was called."""

    LOAD = "load"
    SLOTS = "slots"
    LOGIN = "login"
    FIND = "find"
    ATTRIBUTE = "attribute"
    SIGN = "sign"
    MAKE = "make"


class Verdict(StrEnum):
    """What is done about a failure."""

    RETRY = "retry"
    REBUILD = "rebuild"
    WAIT = "wait"
    STOP = "stop"


class TokenError(TransientError):
    """The token cannot be used now. `verdict` says what is done about it."""

    verdict = Verdict.WAIT


class RebuildError(TokenError):
    """What is held of the token is void; built anew it may work at once."""

    verdict = Verdict.REBUILD


class PinError(TokenError):
    """The PIN cannot be used."""


class PinRefusedError(PinError):
    """The token refused the PIN: it must not be sent again."""

    verdict = Verdict.STOP


class ChoiceError(TransientError):
    """The token is well; the request names no key, or one that is not there."""


_EVERYWHERE_STOP = dict.fromkeys(Call, Verdict.STOP)
_EVERYWHERE_WAIT = dict.fromkeys(Call, Verdict.WAIT)
_WAIT_OR_REBUILD = _EVERYWHERE_WAIT | {Call.SIGN: Verdict.REBUILD}
_RETRY = dict.fromkeys(Call, Verdict.RETRY) | dict.fromkeys((Call.LOGIN, Call.FIND, Call.MAKE), Verdict.WAIT)

# CKR_* without its prefix -> what python-pkcs11 raises for it, the reason that is given, and the verdict by call
TABLE: dict[str, tuple[type[PKCS11Error], str, dict[Call, Verdict]]] = {
    "PIN_INCORRECT": (exceptions.PinIncorrect, "pin_incorrect", _EVERYWHERE_STOP),
    "PIN_INVALID": (exceptions.PinInvalid, "pin_incorrect", _EVERYWHERE_STOP),
    "PIN_LEN_RANGE": (exceptions.PinLenRange, "pin_incorrect", _EVERYWHERE_STOP),
    "PIN_EXPIRED": (exceptions.PinExpired, "pin_incorrect", _EVERYWHERE_STOP),
    "PIN_TOO_WEAK": (exceptions.PinTooWeak, "pin_incorrect", _EVERYWHERE_STOP),
    "PIN_LOCKED": (exceptions.PinLocked, "pin_locked", _EVERYWHERE_STOP),
    "USER_PIN_NOT_INITIALIZED": (exceptions.UserPinNotInitialized, "pin_unset", _EVERYWHERE_WAIT),
    "TOKEN_NOT_PRESENT": (exceptions.TokenNotPresent, "token_absent", _EVERYWHERE_WAIT),
    "TOKEN_NOT_RECOGNIZED": (exceptions.TokenNotRecognised, "token_absent", _EVERYWHERE_WAIT),
    "DEVICE_REMOVED": (exceptions.DeviceRemoved, "token_absent", _EVERYWHERE_WAIT),
    "SLOT_ID_INVALID": (exceptions.SlotIDInvalid, "token_absent", _EVERYWHERE_WAIT),
    "FUNCTION_CANCELED": (exceptions.FunctionCancelled, "token_away", _RETRY),
    "HOST_MEMORY": (exceptions.HostMemory, "token_away", _EVERYWHERE_WAIT),
}
ANY_OTHER = ("token_away", _WAIT_OR_REBUILD)

_BY_EXCEPTION: dict[type[Exception], tuple[str, dict[Call, Verdict]]] = {
    raised: (reason, verdicts) for raised, reason, verdicts in TABLE.values()
}
_ERRORS = {error.verdict: error for error in (TokenError, RebuildError, PinRefusedError)}


def ask(call: Call, work: Callable[[], T]) -> T:
    """Do one call, once more where the table says retry. Raises TokenError; no message of the library is kept."""
    for last in (False, True):
        try:
            return work()
        except (PKCS11Error, RuntimeError, OSError, ValueError) as exc:  # no module there, or text that is none
            reason, verdicts = _BY_EXCEPTION.get(type(exc), ANY_OTHER)
            verdict = verdicts[call]
            if verdict is Verdict.RETRY:
                if not last:
                    continue
                verdict = ANY_OTHER[1][call]
            raise _ERRORS[verdict](reason, f"{type(exc).__name__} at {call}") from exc
    raise AssertionError  # the second round returns or raises
