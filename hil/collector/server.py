"""The HTTPS server, with control over the raw connection: its faults need it."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import ssl
from collections import Counter
from pathlib import Path
from typing import Any

import h11
import orjson

from hil.collector.api import Answer, Api, faulty, proof_id_of
from hil.collector.faults import Faults


class Server:
    """One collector. `received.bin` gets every request, but for the value of the Authorization header."""

    def __init__(self, *, folder: Path, context: ssl.SSLContext, api_keys: frozenset[str]) -> None:
        self.context = context
        self.api = Api(folder=folder, api_keys=api_keys)
        self.faults = Faults()
        self.stats: Counter[str] = Counter()
        self._received = (folder / "received.bin").open("ab", buffering=0)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.stats["connections"] += 1
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, h11.RemoteProtocolError):
            fault = self.faults.connection() or {}
            if fault.get("at") != "before_tls":
                await writer.start_tls(self.context)
                if fault.get("at") == "request":
                    self.stats["application_bytes"] += len(await reader.read(int(fault.get("bytes", 100))))
                if not fault:
                    await self._serve(reader, writer)
                    writer.close()
                    return
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        reset_next = False
        while True:
            request, body = await self._read(connection, reader)
            if request is None:
                return
            if reset_next:
                writer.transport.abort()
                return
            self.stats["requests"] += 1
            reset_next = await self._respond(connection, writer, request, body)
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _read(self, connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request | None, bytes]:
        request, body = None, bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                self.stats["application_bytes"] += len(data)
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return request, bytes(body)
            else:
                return None, b""

    async def _respond(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request, body: bytes
    ) -> bool:
        """Answer one request. Returns whether the next one on this connection is reset."""
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        method, target = request.method.decode(), request.target.decode()
        shown = {name: "(redacted)" if name == "authorization" else value for name, value in headers.items()}
        self._received.write(b"%b %b %b\n%b\n\n" % (request.method, request.target, orjson.dumps(shown), body))
        fault = self.faults.request(_claimed_id(body) if target == "/v1/proofs" else "") or {}
        kind = fault.get("kind", "")
        if kind == "delay":
            await asyncio.sleep(float(fault["seconds"]))
        if kind == "cut" and fault.get("at") == "before_response":
            writer.transport.abort()
            return False
        answer = faulty(fault, body) or await asyncio.to_thread(self.api.answer, method, target, headers, body)
        self.stats[f"status_{answer[0]}"] += 1
        if kind == "lost_response":
            writer.transport.abort()
            return False
        await self._write(writer, _encode(connection, answer, headers.get("x-request-id")), fault)
        return bool(kind == "rate_limit")

    @staticmethod
    async def _write(writer: asyncio.StreamWriter, data: bytes, fault: dict[str, Any]) -> None:
        if fault.get("kind") == "slow_body":
            for index in range(0, len(data), 16):
                writer.write(data[index : index + 16])
                await writer.drain()
                await asyncio.sleep(float(fault.get("seconds", 0.05)))
            return
        within = fault.get("kind") == "cut" and fault.get("at") == "within_response"
        writer.write(data[: len(data) // 2] if within else data)
        await writer.drain()
        if within:
            writer.transport.abort()


def _encode(connection: h11.Connection, answer: Answer, request_id: str | None) -> bytes:
    status, extra, content = answer
    fields = [("content-length", str(len(content))), ("date", email.utils.formatdate(usegmt=True)), *extra]
    if "content-type" not in {name for name, _ in extra}:
        fields.append(("content-type", "application/json"))
    if request_id is not None:
        fields.append(("x-request-id", request_id))
    parts = [
        connection.send(h11.Response(status_code=status, headers=fields)),
        connection.send(h11.Data(data=content)) if content else b"",
        connection.send(h11.EndOfMessage()),
    ]
    return b"".join(part or b"" for part in parts)


def _claimed_id(body: bytes) -> str:
    """Return the proof id that the request's payload_hash gives, without parsing it."""
    marker = b'"payload_hash":"'
    at = body.find(marker)
    return proof_id_of(body[at + len(marker) : at + len(marker) + 64]) if at >= 0 else ""
