"""`python -m hil.robot --folder DIR --port PORT --seed N --seconds S`: one robot's day, published at QoS 1.

Exit code 0 if the broker confirmed every message. `--print` writes the messages as JSON lines instead of sending them.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from hil.robot.model import Robot
from hil.robot.uplink import Uplink


def main() -> int:
    """Publish."""
    options = _options()
    epoch = options.epoch if options.epoch is not None else round(time.time(), 3)
    robot = Robot(
        seed=options.seed,
        seconds=options.seconds,
        rate=options.rate,
        epoch=epoch,
        first=options.first,
        bursts=not options.steady,
    )
    if options.print:
        for message in robot.messages():
            print(json.dumps({"at": message.at, "topic": message.topic, "payload": message.payload.decode()}))
        return 0
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    uplink = Uplink(
        host=options.host, port=options.port, folder=options.folder, client_prefix=f"robot-{options.seed}-{options.first}"
    )
    uplink.connect([vehicle.sender for vehicle in robot.vehicles] + ["site"], robot.wills())
    started = time.monotonic()
    for message in robot.messages():
        ahead = started + message.at - time.monotonic()
        while ahead > 0 and not stopped:
            uplink.pause(min(ahead, 0.2))
            ahead = started + message.at - time.monotonic()
        if stopped:
            break
        uplink.publish(message)
    unconfirmed = uplink.drain(options.drain)
    uplink.close()
    print(f"{unconfirmed} messages were not confirmed by the broker", flush=True)
    return 1 if unconfirmed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="where witness.jsonl and canaries.txt go")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=55, help="messages a second on average")
    parser.add_argument("--first", type=int, default=1, help="the first message's number")
    parser.add_argument("--epoch", type=float, help="the wall time of the start; with it the messages repeat byte for byte")
    parser.add_argument("--steady", action="store_true", help="no bursts and no silences")
    parser.add_argument("--drain", type=float, default=60, help="seconds to wait for the broker at the end")
    parser.add_argument("--print", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
