"""The control socket: what an operator asks of the running daemon, and what he changes in it. No TCP, ever.

A request is one line of JSON, `{"command": word, "arguments": {...}}`; the answer is one line, `{"ok": {...}}` or
`{"error": reason, "message": text}`. Root and the daemon's own user are answered. Each change, and each refusal of a
caller, stands in the audit log.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog

from actod.errors import ActodError, RejectedError, StopError
from actod.ports import AuditLog
from actod.unixsocket import listen, peer_uid

LONGEST_REQUEST_BYTES = 256 * 1024
_REQUEST_SECONDS = 10.0  # a caller who says nothing does not hold a place
_RETRY_SECONDS = 5.0
_CALLERS = 8  # served at once; the others wait

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One command; `changes` says whether the audit log must know of it.

    `run` takes the arguments, the caller's `uid` (the kernel's word) among them, and returns the answer.

    `run` raises ActodError with the reason for which it is not done. An answer holds codes, counts, ids and names.
    """

    run: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
    changes: bool


async def _unknown(_arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    raise RejectedError("command_unknown", "this daemon has no such command")


_UNKNOWN = Operation(run=_unknown, changes=False)


class ControlServer:
    """Answers requests until it is cancelled."""

    def __init__(self, *, path: Path, operations: Mapping[str, Operation], peers: frozenset[int], audit: AuditLog) -> None:
        self._path, self._operations, self._peers, self._audit = path, operations, peers, audit
        self._places = asyncio.Semaphore(_CALLERS)

    async def run(self) -> None:
        """Serve. A disk on which no socket can be made (full, read-only) is tried again: nothing waits for this one."""
        listener = await self._listener()
        server = await asyncio.start_unix_server(self._answer, sock=listener, limit=LONGEST_REQUEST_BYTES)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            self._path.unlink(missing_ok=True)

    async def _listener(self) -> socket.socket:
        said = False
        while True:
            try:
                return listen(self._path, key="state_directory", who="daemon", mode=0o660)
            except StopError as exc:
                if not said:
                    _log.error("The control socket cannot be made; it is tried again.", reason=str(exc))
                said = True
                await asyncio.sleep(_RETRY_SECONDS)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            uid = peer_uid(writer.get_extra_info("socket"))
            if uid not in self._peers:
                self._audit.record("access.denied", where="control", uid=uid)
                writer.write(_error("peer_refused", "only root and the user of actod are answered"))
            else:
                async with self._places:
                    async with asyncio.timeout(_REQUEST_SECONDS):
                        line = await reader.readuntil(b"\n")
                    writer.write(await self._reply(line, uid))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # TimeoutError is an OSError: the caller went away, or never said what he wants
        finally:
            writer.close()

    async def _reply(self, line: bytes, uid: int) -> bytes:
        command, operation = "", _UNKNOWN
        try:
            command, arguments = _parsed(line)
            operation = self._operations.get(command, _UNKNOWN)
            if operation.changes:
                self._audit.record("control.asked", command=command, uid=uid)
            answer = await operation.run({**arguments, "uid": uid})
        except ActodError as exc:
            reason, text = exc.reason, str(exc).removeprefix(f"{exc.reason}: ")
        except Exception as exc:  # noqa: BLE001 - a defect in a command must not end the daemon
            _log.error("A command failed by a defect of ours.", error=type(exc).__name__)
            reason, text = "defect", "a defect of actod; its log names it"
        else:
            if operation.changes:
                self._audit.record("control.done", command=command, uid=uid)
            return orjson.dumps({"ok": answer}, option=orjson.OPT_NON_STR_KEYS) + b"\n"
        if operation.changes:
            self._audit.record("control.refused", command=command, uid=uid, reason=reason)
        return _error(reason, text)


def _parsed(line: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        request = orjson.loads(line)
        return str(request["command"]), dict(request.get("arguments", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RejectedError("request_malformed", "a request is one line of JSON with command and arguments") from exc


def _error(reason: str, text: str) -> bytes:
    return orjson.dumps({"error": reason, "message": text}) + b"\n"
