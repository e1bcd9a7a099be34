"""The straight line: paho, and what actobotics gives for the rest, as its page on PyPI shows. Runs in its own environment.

python straight.py BROKER_PORT COLLECTOR_PORT
"""

import os
import queue
import sys
import threading
from datetime import UTC, datetime

import orjson
import paho.mqtt.client as mqtt
from acto.client import ACTOClient
from acto.crypto import KeyPair
from acto.proof import create_proof
from acto.telemetry.models import TelemetryBundle, TelemetryEvent
from acto.telemetry.pii import PIIMasker
from paho.mqtt.enums import CallbackAPIVersion

BUNDLE = 500
LONGEST_SECONDS = 1.0

pair, masker = KeyPair.generate(), PIIMasker()
collector = ACTOClient(api_key=os.environ["API_KEY"], wallet_address="0" * 32, base_url=f"https://127.0.0.1:{sys.argv[2]}")
waiting: queue.Queue[TelemetryEvent] = queue.Queue()


def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
    masked = masker.mask_dict(orjson.loads(message.payload))
    waiting.put(TelemetryEvent(ts=datetime.now(UTC).isoformat(), topic=message.topic, data=masked))


def submit() -> None:
    events: list[TelemetryEvent] = []
    while True:
        try:
            events.append(waiting.get(timeout=LONGEST_SECONDS))
        except queue.Empty:
            if not events:
                continue
        else:
            if len(events) < BUNDLE:
                continue
        bundle = TelemetryBundle(task_id="idle", robot_id="amr-07", events=events)
        collector.submit_proof(create_proof(bundle, pair.private_key_b64, pair.public_key_b64))
        events = []


client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="straight", clean_session=False)
client.on_connect = lambda client, *_: client.subscribe("uagv/v2/+/+/+", qos=1)
client.on_message = on_message
threading.Thread(target=submit, daemon=True).start()
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
