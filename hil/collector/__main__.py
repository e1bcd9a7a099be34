"""`python -m hil.collector --folder DIR --cert FILE --key FILE --api-keys FILE`: serves until its standard input ends.

Prints one JSON line with its port. Control: JSON lines on standard input, one answer line each: {"faults": [...]},
{"certificate": [cert, key]}, {"api_keys": [...]}, {"stats": true}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from hil.collector.server import Server


def tls_context(cert: Path, key: Path, options: argparse.Namespace) -> ssl.SSLContext:
    """Return the server's context; --newest-tls 1.1 caps the version, for tests of refusals."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if options.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(options.client_ca)
    if options.newest_tls == "1.1":
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


async def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("folder", "cert", "key", "api-keys"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--client-ca")
    parser.add_argument("--newest-tls")
    options = parser.parse_args()
    keys = frozenset(options.api_keys.read_text(encoding="ascii").split())
    context = tls_context(options.cert, options.key, options)
    server = Server(folder=options.folder.absolute(), context=context, api_keys=keys)
    listener = await asyncio.start_server(server.accept, options.listen, options.port, backlog=512)
    say({"port": listener.sockets[0].getsockname()[1]})
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        say(control(server, json.loads(line), options))
    listener.close()


def control(server: Server, command: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one command."""
    if "faults" in command:
        server.faults.set(command["faults"])
    if "certificate" in command:
        cert, key = command["certificate"]
        server.context = tls_context(Path(cert), Path(key), options)
    if "api_keys" in command:
        server.api.api_keys = frozenset(command["api_keys"])
    return {"stats": dict(server.stats), "struck": dict(server.faults.struck), "known": len(server.api.known)}


def say(answer: dict[str, Any]) -> None:
    """Print one line."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
