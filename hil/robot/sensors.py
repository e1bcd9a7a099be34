"""Sensor messages in the shapes of ROS: joints, inertial unit, battery, odometry and a small laser scan."""

from __future__ import annotations

import math
import random
from typing import Any

_JOINTS = 6


class Sensors:
    """Readings of one robot. `stamp` is seconds since 1970."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def joint_states(self, stamp: float) -> dict[str, Any]:
        """Make joint states."""
        phase = [stamp / (3 + index) for index in range(_JOINTS)]
        return {
            "header": _header(stamp, "base_link"),
            "name": [f"joint_{index}" for index in range(_JOINTS)],
            "position": [round(math.sin(angle), 5) for angle in phase],
            "velocity": [round(math.cos(angle) / 4, 5) for angle in phase],
            "effort": [round(self._chance.gauss(0, 9), 3) for _ in phase],
        }

    def imu(self, stamp: float) -> dict[str, Any]:
        """Make an inertial reading."""
        noise = self._chance.gauss
        return {
            "header": _header(stamp, "imu_link"),
            "orientation": {"x": 0.0, "y": 0.0, "z": round(math.sin(stamp / 9), 5), "w": round(math.cos(stamp / 9), 5)},
            "angular_velocity": {axis: round(noise(0, 0.02), 5) for axis in "xyz"},
            "linear_acceleration": {
                "x": round(noise(0, 0.1), 4),
                "y": round(noise(0, 0.1), 4),
                "z": round(noise(9.81, 0.1), 4),
            },
            "orientation_covariance": [0.0] * 9,
        }

    def battery(self, stamp: float) -> dict[str, Any]:
        """Make a battery state."""
        return {
            "header": _header(stamp, "battery"),
            "voltage": round(self._chance.uniform(46, 52), 2),
            "current": round(self._chance.uniform(-9, 4), 2),
            "percentage": round(self._chance.uniform(0.2, 0.9), 3),
            "present": True,
            "cell_voltage": [round(self._chance.uniform(3.4, 4.1), 3) for _ in range(12)],
        }

    def scan(self, stamp: float) -> dict[str, Any]:
        """Make a small laser scan; a beam without an echo has the largest range, since JSON has no infinity."""
        ranges = [round(self._chance.uniform(0.2, 18), 3) if self._chance.random() < 0.95 else 25.0 for _ in range(90)]
        limits = {"angle_min": -1.5708, "angle_max": 1.5708, "angle_increment": 0.0353, "range_min": 0.05, "range_max": 25.0}
        return {"header": _header(stamp, "laser_front"), **limits, "ranges": ranges, "intensities": []}

    def odometry(self, stamp: float) -> dict[str, Any]:
        """Make an odometry reading."""
        position = {"x": round(stamp % 50, 4), "y": round(self._chance.uniform(-5, 5), 4), "z": 0.0}
        pose = {"position": position, "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}}
        return {"header": _header(stamp, "odom"), "child_frame_id": "base_link", "pose": pose}


def _header(stamp: float, frame: str) -> dict[str, Any]:
    seconds = math.floor(stamp)
    return {"stamp": {"sec": seconds, "nanosec": int((stamp - seconds) * 1_000_000) * 1000}, "frame_id": frame}
