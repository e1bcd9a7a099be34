"""The ranges of the configuration's numbers, and the words that its choices take."""

from __future__ import annotations

# key -> (smallest, largest); a key that is not here takes any value of its type that is not negative
RANGES: dict[str, tuple[float, float]] = {
    "mqtt.port": (1, 65535),
    "mqtt.keep_alive_seconds": (5, 3600),
    "mqtt.session_expiry_seconds": (60, 0xFFFF_FFFE),
    "mqtt.receive_maximum": (1, 65535),
    "mqtt.connect_timeout_seconds": (0.1, 300),
    "intake.commit_interval_ms": (1, 10_000),
    "intake.quiet_ms": (1, 1000),
    "intake.max_group": (1, 100_000),
    "intake.max_messages": (10, 1_000_000),
    "intake.max_bytes": (1 << 20, 1 << 30),
    "intake.largest_payload_bytes": (1024, 256 * 1024),
    "intake.max_depth": (4, 120),
    "intake.max_open_runs": (1, 1024),
    "intake.new_runs_per_minute": (1, 1_000_000),
    "intake.brake_factor": (2, 1_000_000),
    "intake.brake_seconds": (1, 86_400),
    "routes.max_hz": (0.00001, 1_000_000),  # once a day
    **{
        f"{table}.{span}": (1, 1_000_000_000)
        for table in ("intake.robot_limit", "routes.limit")
        for span in ("per_second", "per_minute", "per_hour", "per_day")
    },
    "masking.pseudonym_epoch_days": (1, 36_500),
    "masking.max_depth": (1, 120),
    "masking.max_leaf_bytes": (1024, 64 << 20),
    "masking.max_decode_depth": (1, 16),
    "seal.max_events": (1, 100_000),
    "seal.max_bytes": (8192, 480 * 1024),
    "seal.max_age_seconds": (0.05, 86_400),
    "seal.heartbeat_seconds": (1, 86_400),
    "store.max_bytes": (8 << 20, 1 << 50),
    "token.lockout_seconds": (1, 604_800),
    "store.archive_max_age_days": (1, 36_500),
    "signer.timeout_seconds": (0.5, 300),
    "token.key_max_age_days": (0, 36_500),
    "collector.max_parallel_requests": (1, 32),
    "collector.pin_set.threshold": (1, 64),
    "collector.requests_per_second": (0.01, 1_000_000),
    "collector.requests_per_minute": (0, 1_000_000),
    "collector.requests_per_hour": (0, 1_000_000),
    "collector.requests_per_day": (0, 1_000_000_000),
    "collector.bytes_per_second": (0, 1 << 40),
    "collector.bytes_per_day": (0, 1 << 50),
    "collector.fleet_share": (0.0001, 1),
    "collector.proof_sample_seconds": (1, 31_536_000),
    "collector.max_envelope_bytes": (64 * 1024, 64 << 20),
    "collector.connect_timeout_seconds": (0.1, 300),
    "collector.request_timeout_seconds": (0.1, 3600),
    "collector.backoff_min_seconds": (0.001, 3600),
    "collector.backoff_max_seconds": (0.001, 86_400),
    "fleet.interval_seconds": (1, 86_400),
    "metrics.textfile_interval_seconds": (1, 3600),
    "audit.max_file_bytes": (1 << 20, 1 << 24),  # the newest full checkpoint outlives a file; one fits into memory
    "audit.max_bytes": (1 << 20, 1 << 40),
    "audit.max_age_days": (1, 36_500),
}
CHOICES: dict[str, tuple[str, ...]] = {
    "environment": ("dev", "staging", "prod"),
    "store.when_full": ("block", "drop_oldest"),
    "store.drop_up_to": ("intervention", "safety", "normal", "bulk"),
    "seal.hash_alg": ("sha256", "blake3"),
    "alerts.shape": ("actod", "slack", "discord"),
    "log.level": ("debug", "info", "warning", "error"),
    "log.format": ("auto", "json", "text"),
    "routes.profile": ("", "vda5050-v2", "vda5050-v3"),
    "routes.traffic_class": ("intervention", "safety", "normal", "bulk"),
    "routes.mask": ("", "strict", "balanced", "secrets-only"),
    "masking.rules.operator": ("mask", "redact", "hash", "coarsen", "drop", "keep"),
}
