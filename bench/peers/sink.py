"""What the peers deliver to: HTTPS, TLS lines and a second broker. Each counts the states that arrived, by headerId."""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.parts.broker import Broker
from hil.parts.certificates import Certificate

_NUMBER = re.compile(rb"headerId[\\\"' ]*[:=,][\\\"' ]*(\d+)")
_PROOF_ID = b'{"proof_id":"%s"}' % (b"0" * 32)


class Sink:
    """The numbers that arrived. `others` is how often one came again."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.others = 0
        self._lock = threading.Lock()

    def away(self) -> None:
        """Take nothing more, as a server that is down."""
        raise NotImplementedError

    def back(self) -> None:
        """Take again, where it was."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        found = [int(number) for number in _NUMBER.findall(data)]
        with self._lock:
            before = len(self.numbers)
            self.numbers.update(found)
            self.others += len(found) - (len(self.numbers) - before)


class _TlsSink(Sink):
    """One with a listener of its own. It may go away, its connections with it, and be back at the same port."""

    port = 0

    def __init__(self, certificate: Certificate) -> None:
        super().__init__()
        self._certificate = certificate
        self._connections: set[socket.socket] = set()
        self.back()

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        raise NotImplementedError

    def back(self) -> None:
        sink = self

        class Handler(self._handler()):  # type: ignore[misc]
            def setup(self) -> None:
                sink._connections.add(self.request)
                super().setup()

            def finish(self) -> None:
                sink._connections.discard(self.request)
                with contextlib.suppress(OSError):
                    super().finish()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, *_arguments: Any) -> None:
                """Say nothing of connections that were cut."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.socket = _listening(self._certificate, self._server.socket)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def away(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.away()


class HttpsSink(_TlsSink):
    """Takes each POST, and names a proof."""

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sink.take(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(_PROOF_ID)))
                self.end_headers()
                self.wfile.write(_PROOF_ID)

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        return Handler


class LineSink(_TlsSink):
    """Takes lines over TLS, as a syslog server does."""

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    sink.take(line)

        return Handler


class ThingsboardSink(Sink):
    """Takes telemetry at a broker that stands for a ThingsBoard server, and says that there are no limits."""

    ASKS, ANSWERS, TELEMETRY = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/", "v1/gateway/telemetry"

    def __init__(self, server: Broker) -> None:
        super().__init__()
        self._server, self._subscribed = server, threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sink")
        self._client.on_connect = lambda client, *_: client.subscribe([(self.TELEMETRY, 1), (f"{self.ASKS}+", 1)])
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", server.port)
        self._client.loop_start()

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith(self.ASKS):
            client.publish(self.ANSWERS + message.topic.removeprefix(self.ASKS), '{"rateLimits":{},"gatewayRateLimits":{}}')
        else:
            self.take(bytes(message.payload))

    def away(self) -> None:
        self._subscribed.clear()
        self._server.stop()

    def back(self) -> None:
        """Start the server again; returns when what it takes is seen."""
        self._server.start()
        if not self._subscribed.wait(60):
            raise TimeoutError("the server is not back")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _listening(certificate: Certificate, listener: socket.socket) -> ssl.SSLSocket:
    """Put TLS around a listener; each connection shakes hands on its own thread, when it is first read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
