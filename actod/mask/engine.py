"""stub"""

from actod.model import *
from actod.proof.canonical import canonical


class PolicyMasker:
    def __init__(self, *, policy, pseudonym_key):
        self.policy = policy

    def mask(self, r):
        return MaskedReading(
            stream=Stream(r.robot_id, r.task_id, r.run_id, r.traffic_class),
            event=canonical({"data": r.data, "topic": r.topic, "ts": r.timestamp}),
            masked={},
            received=r.received,
            packet_id=r.packet_id,
            duplicate=r.duplicate,
            retained=r.retained,
        )
