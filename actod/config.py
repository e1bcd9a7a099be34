"""The configuration: TOML files to frozen types. An unknown key, a wrong type or a value out of range is an error.

Each limit has its unit in its name and a reason for its default beside it. A secret never stands here: only the path
of a file that holds it. Loading lives in `actod/configfile.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from actod.shares import Shares

MIB = 1024 * 1024
ENVELOPE_OVERHEAD_BYTES = 32 * 1024  # around the events: 64 lines of the loss ledger take half of it
SMALLEST_EVENT_BYTES, MARK_BYTES = 64, 14  # a mark: an index of up to six digits and a comma, in two lists
MAX_SOCKET_PATH_BYTES = 107  # unix(7): sun_path holds 108, with the zero at its end


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """The robot that runs actod."""

    id: str = ""  # this robot's id; empty: drawn at random at genesis, since the server treats ids as public
    robots: dict[str, str] = field(default_factory=dict)  # serial number -> robot_id, where a site wants its own names


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig:
    """The broker. Give either a user name with its password file or a client certificate, or neither."""

    host: str = "127.0.0.1"  # name or address; the documented topology is a broker on the robot
    port: int = 1883  # 8883 is usual with tls
    client_id: str = "actod"  # a fixed name of this client's own: the broker keeps its session by it
    username: str = ""  # empty: no login
    password_file: Path | None = None  # goes with the user name
    tls: bool = False  # the broker's certificate is always verified
    ca_file: Path | None = None  # replaces the system's trust store
    certificate_file: Path | None = None  # for a broker that asks clients for one
    private_key_file: Path | None = None  # of that certificate
    keep_alive_seconds: int = 30  # a ping after so long a silence
    session_expiry_seconds: int = 604_800  # a week: longer than any repair, shorter than the broker's memory of us
    receive_maximum: int = 200  # at least what one commit interval brings
    connect_timeout_seconds: float = 10.0  # for name, connection and TLS handshake


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConfig:
    """How many messages may pass, at once or in a span of time. A quarter more is kept for interventions and safety."""

    per_second: int = 10_000  # more than a small machine can take in: a backlog after an absence passes at full speed
    per_minute: int = 300_000  # half of that pace
    per_hour: int = 3_600_000  # 1000 a second
    per_day: int = 21_600_000  # 250 a second: of 600 B they are 13 GB a day, which is no robot any more


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeConfig:
    """What may be in memory between the broker and the disk."""

    commit_interval_ms: int = 500  # the oldest message waits this long at most: 1.1 bytes written for each byte
    quiet_ms: int = 20  # commit early when the broker has been silent this long and waits for our acknowledgements
    max_group: int = 1000  # messages in one commit
    max_messages: int = 5000  # received and not yet durable
    max_bytes: int = 8 * MIB  # likewise
    largest_payload_bytes: int = 256 * 1024  # a larger one could not fit a bundle
    max_depth: int = 64  # nesting of JSON; the canonical domain ends at 128
    max_open_runs: int = 32  # beyond it readings go to the robot's run _overflow, beyond as many of these to the device's
    new_runs_per_minute: int = 60  # likewise: what opens more is counted into _overflow
    limits: bool = True  # false only where environment = "dev": of [intake.robot_limit], [routes.limit] and the brake
    robot_limit: LimitConfig = field(default_factory=LimitConfig)  # of each robot, over all routes
    brake_factor: int = 10  # so many times a route's per_second in one second are a flood: it closes the route
    brake_seconds: float = 60.0  # for so long


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteConfig:
    """Which messages to take, and what they belong to.

    `topic` is an MQTT filter. The `*_id` and `timestamp` members take a JSON Pointer ("/order/id"), a topic level
    ("topic:3", counted from 1) or a fixed word ("=word"); empty means none (task_id: "=idle").

    `max_hz`, `on_change`, `deadband` and `digest` thin a route, each topic of each robot by itself; what is left out is
    counted in the signed bundles as `sampled`. Interventions and safety are never thinned.
    """

    name: str  # of its own: it stands in the signed ledger
    topic: str  # an MQTT filter, "+" and "#" allowed; $share/ is refused
    profile: str = ""  # how its messages are understood; empty: by the pointers below
    traffic_class: str = "normal"  # what goes out first and is dropped last
    mask: str = ""  # masking profile; empty: strict for VDA 5050, balanced elsewhere
    robot_id: str = ""  # which robot a message is of; empty: the device itself
    task_id: str = ""  # which task; empty: "idle"
    run_id: str = ""  # which run of the task; empty: none
    timestamp: str = ""  # when it happened; empty: when it arrived
    qos: int = 1  # 0 or 1: with 2, a kill between PUBREC and disk would lose the message
    limit: LimitConfig = field(default_factory=LimitConfig)  # of this route
    max_hz: float = 0.0  # keep at most so many a second; 0: all
    on_change: list[str] = field(default_factory=list)  # keep what differs at one of these pointers; [""]: anywhere
    deadband: dict[str, float] = field(default_factory=dict)  # pointer -> keep where the number moved further than this
    digest: bool = False  # sign a salted commitment in place of the content, which stays in the state folder


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRuleConfig:
    """One masking rule: what to do with a type of finding, at a path, or both. First match wins."""

    operator: str  # what happens to the value: docs/masking.md
    type: str = ""  # empty: any
    path: str = ""  # JSON Pointer, "*" for any member or index; empty: anywhere
    profile: str = ""  # empty: every profile


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """An operator's own detector. `pattern` runs on a linear-time engine, never on Python's re."""

    name: str  # the type of what it finds, in rules, counts and explanations
    pattern: str  # in the syntax of RE2
    keys: list[str] = field(default_factory=list)  # only under keys that contain one of these words; empty: anywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaConfig:
    """What profile `strict` lets through of messages that are no VDA 5050: the first schema whose filter matches."""

    topic: str  # MQTT topic filter
    file: Path  # a small part of JSON Schema: docs/masking.md


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingConfig:
    """The masking policy; its digest is signed into every bundle."""

    mask_char: str = "*"  # what operator mask writes
    preserve_length: bool = False  # one character for each that was there; a length is information
    pseudonym_epoch_days: int = 90  # then the key of operator hash is erased, and its pseudonyms link no more
    max_depth: int = 64  # nesting of JSON; what lies deeper is redacted
    max_leaf_bytes: int = 1 * MIB  # a longer text is redacted unread
    max_decode_depth: int = 4  # containers in containers: JSON in base64 in JSON ...
    operator_key: str = ""  # a public key: what cannot be masked is sealed to it; empty: it is only counted
    rules: list[MaskRuleConfig] = field(default_factory=list)  # first match wins
    detectors: list[DetectorConfig] = field(default_factory=list)
    schemas: list[SchemaConfig] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Journal, outbox, archive, quarantine; and the cap on all that lies in the state folder."""

    max_bytes: int = 256 * MIB  # the whole state folder, at every moment; a third of it can queue
    archive_max_age_days: int = 30  # by the collector's clock; the archive's share often ends earlier
    allow_volatile: bool = False  # a state folder that a power cut or the end of a container empties, in prod
    when_full: str = "block"  # what the queue does: leave new messages with the broker, or drop_oldest, each counted
    drop_up_to: str = "intervention"  # of drop_oldest: bulk goes first, and this class last; those above it block

    @property
    def shares(self) -> Shares:
        """Return how the cap is divided."""
        return Shares.of(self.max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealConfig:
    """When a bundle is cut."""

    max_events: int = 1000  # messages in a bundle
    max_bytes: int = 384 * 1024  # of events; an envelope stays below the 512 KiB that hosted proxies take
    max_age_seconds: float = 30.0  # the oldest message of a bundle waits so long for company
    heartbeat_seconds: float = 300.0  # an own record when there was nothing to say
    hash_alg: str = "sha256"  # so that OpenSSL can check it; or blake3


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """The PKCS#11 token. `uri` is an RFC 7512 URI with token, object and module-path; the PIN is a file."""

    uri: str  # RFC 7512: token, object and module-path
    pin_file: Path  # read by the signer alone
    allow_software_token_in_prod: bool = False  # SoftHSM in prod; each bundle says so
    key_max_age_days: int = 0  # then `actod keys rotate` is due; 0: 365 in prod, 1095 elsewhere
    lockout_seconds: float = 600.0  # a locked TPM is tried again after this, where tpm2_getcap cannot say when


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerConfig:
    """Where the signer process listens. With `spawn` it is a child of the daemon; else a unit of its own."""

    spawn: bool = True  # the daemon starts the signer; false: it is a unit of its own
    socket: Path | None = None  # default: <state_directory>/run/signer.sock
    daemon_user: str = ""  # whom a signer that is a unit of its own answers beside its own user; empty: nobody
    timeout_seconds: float = 10.0  # a TPM takes 0.2 s; a signer that is silent longer is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class PinSetConfig:
    """Pins from a file that operators sign, so that a fleet's pins can be changed by a file alone."""

    file: Path | None = None  # the signed set; docs/pins.md
    keys: list[str] = field(default_factory=list)  # Ed25519, each the base64 of its SubjectPublicKeyInfo
    threshold: int = 2  # of the keys must sign: one that is lost or stolen changes nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorConfig:
    """The HTTPS server that takes proofs. At least two pins, one of them a backup."""

    url: str  # https:// only
    pins: list[str]  # "sha256/<base64 of SHA-256 of the SPKI>"; in force until a signed set is
    pin_set: PinSetConfig = field(default_factory=PinSetConfig)
    pins_report_only_until: str = ""  # YYYY-MM-DD, at most 90 days ahead; empty: pins are enforced
    api_key_file: Path  # the key that submits
    wallet_file: Path | None = None  # the wallet address, where the collector has a token gate
    ca_file: Path | None = None  # replaces the system's trust store
    certificate_file: Path | None = None  # for a collector that asks clients for one
    private_key_file: Path | None = None  # of that certificate
    proxy: str = ""  # http://host:port, CONNECT; pins hold inside the tunnel
    connect_timeout_seconds: float = 10.0  # for name, connection and TLS handshake
    request_timeout_seconds: float = 60.0  # for a request and its answer
    max_envelope_bytes: int = 512 * 1024  # what hosted proxies take
    budgets: bool = True  # false: none of the limits below, in dev alone
    max_parallel_requests: int = 4  # 4 requests a second over a link that takes a second for each
    requests_per_second: float = 4.0  # the server allows 5 and answers 500 beyond
    requests_per_minute: int = 0  # 0: no limit beside that of a second
    requests_per_hour: int = 0  # likewise
    requests_per_day: int = 0  # likewise
    bytes_per_second: int = 0  # of requests, before TLS; 0: as fast as the link goes
    bytes_per_day: int = 0  # for a link that is paid by volume
    fleet_share: float = 1.0  # of all the above, where several robots share one key and thus one limit of the server
    bulk_hours_utc: str = ""  # "22:00-06:00": bulk waits for these hours; empty: it does not
    bulk_interfaces: list[str] = field(default_factory=list)  # "eth*": or for a default route over one of these
    proof_sample_seconds: float = 3600.0  # one own proof is fetched and compared, now and then
    monitor_api_key_file: Path | None = None  # the key that fetches it; empty: the one that submits
    backoff_min_seconds: float = 1.0  # the first wait after a failure
    backoff_max_seconds: float = 300.0  # the longest

    @property
    def largest_event_bytes(self) -> int:
        """Return how long a canonical event may be, so that its bundle reaches the server."""
        return self.max_envelope_bytes - ENVELOPE_OVERHEAD_BYTES


def marks_bytes(*, max_events: int, events_bytes: int) -> int:
    """Return how long the marks of so many bytes of events may get."""
    return min(max_events, events_bytes // SMALLEST_EVENT_BYTES) * MARK_BYTES


def events_bytes(envelope_bytes: int) -> int:
    """Return how many bytes of events fit into an envelope of that size, with their marks."""
    return (envelope_bytes - ENVELOPE_OVERHEAD_BYTES) * SMALLEST_EVENT_BYTES // (SMALLEST_EVENT_BYTES + MARK_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """The local audit log. Its oldest file goes once it is beyond one of these, and a receipt covers it."""

    max_file_bytes: int = MIB  # then it is compressed, and a new one begun; an eighth of the log's share ends it earlier
    max_bytes: int = 64 * MIB  # as they lie compressed: a week at full load; five eighths of the log's share end it earlier
    max_age_days: int = 400  # since the receipt, by the collector's clock: what a yearly review looks for is there


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """The daemon's own log. `format` is auto (journald under systemd, else coloured or JSON lines), json or text."""

    level: str = "info"  # what is less important is not written
    format: str = "auto"  # auto: journald under systemd, else coloured or JSON lines


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """Where the daemon answers `actod keys`, `actod queue` and the like: a Unix socket, for root and its own user."""

    socket: Path | None = None  # default: <state_directory>/run/control.sock


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Metrics for Prometheus; off where neither is named."""

    listen: str = ""  # "127.0.0.1:9464", which actod.service lets it listen at; no other address is taken
    textfile: Path | None = None  # for node_exporter's textfile collector, *.prom; on a tmpfs it costs the card nothing
    textfile_interval_seconds: float = 15.0  # as often as Prometheus usually asks


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """Reports of the machine's health to the collector; on where a key is named. Needs actod[fleet]."""

    api_key_file: Path | None = None  # another key than the one that submits
    interval_seconds: float = 60.0  # one request a minute, beside the proofs' budget of four a second
    battery_route: str = ""  # the route whose messages tell the battery's charge; empty: it is not reported
    charge_pointer: str = "/batteryState/batteryCharge"  # in its data, percent; VDA 5050 2.x
    charging_pointer: str = "/batteryState/charging"  # true while it charges


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultConfig:
    """Vault's KV version 2, for `actod credentials fetch` alone. Needs actod[vault]."""

    url: str = ""  # https:// only
    token_file: Path | None = None  # a token of Vault that may read the paths below
    ca_file: Path | None = None  # replaces the system's trust store
    mount: str = "secret"  # where the KV engine is mounted
    fetch: dict[str, str] = field(default_factory=dict)  # a configuration key -> "path#field"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsConfig:
    """AWS Secrets Manager, for `actod credentials fetch` alone. Needs actod[aws]."""

    region: str = ""  # such as "eu-central-1"
    credentials_file: Path | None = None  # in AWS's own form, profile [default]
    fetch: dict[str, str] = field(default_factory=dict)  # a configuration key -> "name" or "name#field"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertConfig:
    """A webhook for the few events that matter. Its URL is a secret: whoever has it can post there."""

    name: str  # of its own: `actod alert test NAME`
    url_file: Path  # the webhook's URL
    secret_file: Path | None = None  # signs what is sent (HMAC-SHA256); the shape "actod" needs it
    shape: str = "actod"  # what is sent: docs/alerts.md
    ca_file: Path | None = None  # replaces the system's trust store
    pins: list[str] = field(default_factory=list)  # none, or at least two, as collector.pins


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything. `environment` is dev, staging or prod."""

    environment: str  # prod is the strictest
    state_directory: Path  # journal, queue, archive, audit log; 0700
    token: TokenConfig
    collector: CollectorConfig
    routes: list[RouteConfig]
    device: DeviceConfig = field(default_factory=DeviceConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    intake: IntakeConfig = field(default_factory=IntakeConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    seal: SealConfig = field(default_factory=SealConfig)
    signer: SignerConfig = field(default_factory=SignerConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    log: LogConfig = field(default_factory=LogConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    fleet: FleetConfig = field(default_factory=FleetConfig)
    vault: VaultConfig = field(default_factory=VaultConfig)
    aws: AwsConfig = field(default_factory=AwsConfig)
    alerts: list[AlertConfig] = field(default_factory=list)

    @property
    def largest_event_bytes(self) -> int:
        """Return how long a canonical event may be, so that its bundle reaches the server and one transaction takes it."""
        return min(self.collector.largest_event_bytes, self.store.shares.largest_event)

    @property
    def audit_within_share(self) -> AuditConfig:
        """Return the audit log's limits, held to its share of the state folder."""
        file_bytes, all_bytes = self.store.shares.audit_limits
        return replace(
            self.audit,
            max_file_bytes=min(self.audit.max_file_bytes, file_bytes),
            max_bytes=min(self.audit.max_bytes, all_bytes),
        )

    @property
    def signer_socket(self) -> Path:
        """Return where the signer listens."""
        return self.signer.socket or self.state_directory / "run" / "signer.sock"

    @property
    def control_socket(self) -> Path:
        """Return where the daemon answers commands."""
        return self.control.socket or self.state_directory / "run" / "control.sock"
