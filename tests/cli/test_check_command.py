"""`actod check` against a real rig: all is well, then one thing is broken at a time, and exactly that is named."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actod.store.schema import DATABASE_NAME
from hil.parts.broker import Broker, free_port
from hil.parts.certificates import CertificateAuthority
from hil.rig import Rig, wait_for
from tests.cli.conftest import configure

Breakage = Callable[[Rig], contextlib.AbstractContextManager[None]]


def check(rig: Rig, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Run the command; return its exit code and its lines by name."""
    done = rig.tool("check", "--json", "--config", str(rig.config_file), *options)
    assert "Traceback" not in done.stderr
    assert "is started again" not in done.stderr + done.stdout  # the lines say it all
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for secret in (rig.api_key, rig.token.pin):
        assert secret not in done.stdout + done.stderr
    return done.returncode, {line["name"]: line for line in lines}


def test_all_is_well_and_each_line_says_what_was_seen(rig: Rig) -> None:
    done = rig.tool("check", "--config", str(rig.config_file))
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if not line.startswith("        mend: ")]
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}
    names = [line.split(":")[0].split(maxsplit=1)[1] for line in lines]
    secrets = [f"secret {key}" for key in ("token.pin_file", "collector.api_key_file", "collector.wallet_file")]
    rest = ["state folder", "token", "key age", "broker", "server", "audit log", "store", "clock"]
    assert names == ["configuration", *secrets, "no secret in configuration", *rest]
    warned = {line.split(":")[0].split(maxsplit=1)[1] for line in lines if line.startswith("warn")}
    assert warned <= {"clock", "state folder"}  # what the machine of the test is like
    _, by_name = check(rig)
    assert "software key " in by_name["token"]["detail"]
    assert "accepts MQTT 5" in by_name["broker"]["detail"]
    assert "under a pinned key" in by_name["server"]["detail"]
    assert "no line was changed" in by_name["audit log"]["detail"]


@contextlib.contextmanager
def broker_gone(rig: Rig) -> Iterator[None]:
    rig.broker.stop()
    yield
    rig.broker.start()


@contextlib.contextmanager
def collector_gone(rig: Rig) -> Iterator[None]:
    with configured(collector_port=(f"127.0.0.1:{rig.collector.port}", f"127.0.0.1:{free_port()}"))(rig):
        yield


def configured(**changes: tuple[str, str]) -> Breakage:
    """Replace texts in the configuration; `{...}` in them is a member of the rig."""

    @contextlib.contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        pins = {"pin": rig.authority.pin, "backup": rig.authority.backup_pin, "ca": rig.authority.ca_file}
        words = pins | {"folder": rig.folder, "uri": rig.token.uri, "port": rig.broker.port}
        replaced = {old.format(**words): new.format(**words) for old, new in changes.values()}
        configure(rig, **replaced)
        yield
        configure(rig)

    return broken


@contextlib.contextmanager
def wrong_ca(rig: Rig) -> Iterator[None]:
    other = CertificateAuthority.make(rig.folder / "other-ca", name="another CA")
    configure(rig, **{str(rig.authority.ca_file): str(other.ca_file)})
    yield
    configure(rig)


@contextlib.contextmanager
def wrong_ca_of_the_broker(rig: Rig) -> Iterator[None]:
    other = CertificateAuthority.make(rig.folder / "other-ca", name="another CA")
    tls = Broker(rig.folder / "tls-broker", certificate=rig.authority.issue("broker"))
    tls.start()
    settings = f"port = {tls.port}\ntls = true\nca_file = {json.dumps(str(other.ca_file))}\n"
    configure(rig, **{f"port = {rig.broker.port}\n": settings})
    yield
    configure(rig)
    tls.stop()


def secret(name: str, *, mode: int | None = None, content: str | None = None) -> Breakage:
    """Spoil a secret file of the rig: open it, change it, or (with neither) remove it."""

    @contextlib.contextmanager
    def broken(rig: Rig) -> Iterator[None]:
        file = rig.folder / name
        kept = file.read_text()
        if mode is not None:
            file.chmod(mode)
        elif content is not None:
            file.write_text(content)
        else:
            file.unlink()
        yield
        file.write_text(kept)
        file.chmod(0o600)

    return broken


@contextlib.contextmanager
def token_gone(rig: Rig) -> Iterator[None]:
    (folder,) = (rig.token.folder / "tokens").iterdir()
    folder.rename(rig.token.folder / "away")
    yield
    (rig.token.folder / "away").rename(folder)


@contextlib.contextmanager
def key_gone(rig: Rig) -> Iterator[None]:
    with configured(label=("object=actod-ed25519", "object=other"))(rig):
        yield


@contextlib.contextmanager
def audit_line_changed(rig: Rig) -> Iterator[None]:
    file = min((rig.state / "audit").iterdir())
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"daemon.started"', b'"daemon.Started"', 1))
    yield
    file.write_bytes(kept)


@contextlib.contextmanager
def state_open(rig: Rig) -> Iterator[None]:
    rig.state.chmod(0o755)
    yield
    rig.state.chmod(0o700)


@contextlib.contextmanager
def store_damaged(rig: Rig) -> Iterator[None]:
    store = rig.state / DATABASE_NAME
    kept = store.read_bytes()
    store.write_bytes(b"no database " * 1000)
    yield
    store.write_bytes(kept)


BROKEN: list[tuple[str, Breakage, str, str, str]] = [
    # what is broken, how, the line that fails, what it says, what mends it
    ("no broker", broker_gone, "broker", "unreachable", "start the broker"),
    ("broker's CA", wrong_ca_of_the_broker, "broker", "CERTIFICATE_VERIFY_FAILED", "mqtt.ca_file must hold its CA"),
    (
        "broker's CA file",
        configured(tls=("port = {port}\n", 'port = {port}\ntls = true\nca_file = "none.pem"\n')),
        "broker",
        "mqtt.ca_file: expected a readable PEM file of CA certificates",
        "CA certificate file",
    ),
    ("no server", collector_gone, "server", "unreachable", ""),
    ("wrong pins", configured(pins=("{pin}", "sha256/" + "C" * 42 + "A=")), "server", "pin_mismatch", ""),
    ("one pin", configured(pins=('"{pin}", ', "")), "server", "collector.pins: expected at least two", "add the pin"),
    ("wrong CA", wrong_ca, "server", "certificate_untrusted", ""),
    (
        "http",
        configured(url=("https://127", "http://127")),
        "server",
        "collector.url: expected an https:// URL",
        "use https",
    ),
    ("open key", secret("api-key", mode=0o644), "secret collector.api_key_file", "mode 0644", "chmod 600 "),
    ("empty wallet", secret("wallet", content=""), "secret collector.wallet_file", "which is empty", "write the secret to"),
    ("no key file", secret("api-key"), "secret collector.api_key_file", "No such file", "mode 0600"),
    ("open PIN", secret("token/pin", mode=0o640), "secret token.pin_file", "mode 0640", "chmod 600 "),
    ("no PIN", secret("token/pin"), "secret token.pin_file", "No such file", "mode 0600"),
    ("wrong PIN", secret("token/pin", content="wrong-pin-4711"), "token", "pin_incorrect", "put the right PIN"),
    ("no token", token_gone, "token", "token_absent", "pkcs11-tool"),
    ("no key pair", key_gone, "token", "key_count", "actod keys init"),
    (
        "token.uri",
        configured(uri=("{uri}", "pkcs11:object=o")),
        "configuration",
        "token.uri: expected module-path",
        "append",
    ),
    ("route", configured(topic=('"site/#"', '"site/#/x"')), "configuration", "routes.topic: expected", ""),
    (
        "a secret in a comment",
        configured(comment=('environment = "dev"', "# gh" + "p_" + "a1B2" * 9 + '\nenvironment = "dev"')),
        "no secret in configuration",
        "line 1: looks like a secret (git_token)",
        "move it to a file",
    ),
    ("audit log", audit_line_changed, "audit log", ": edited: the hash", "keep a copy"),
    ("state folder", state_open, "state folder", "mode 0755", "chmod 700 "),
    ("store", store_damaged, "store", "", "start actod"),
]


@pytest.mark.parametrize(("breakage", "name", "said", "remedy"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_one_broken_thing_fails_exactly_its_line_and_names_its_remedy(
    rig: Rig, breakage: Breakage, name: str, said: str, remedy: str
) -> None:
    with breakage(rig):
        code, lines = check(rig)
    assert code == 1
    assert {line["name"] for line in lines.values() if line["level"] == "fail"} == {name}
    assert said in lines[name]["detail"]
    assert lines[name]["remedy"]
    assert remedy in lines[name]["remedy"]
    assert len(lines) == 13


def test_what_needs_a_refused_secret_is_not_asked_and_says_so(rig: Rig) -> None:
    with secret("api-key", mode=0o644)(rig), secret("token/pin", mode=0o644)(rig):
        _, lines = check(rig)
    for name, key in (("server", "collector.api_key_file"), ("token", "token.pin_file")):
        assert (lines[name]["level"], lines[name]["detail"]) == ("warn", f"not asked: {key} is refused")


def test_a_software_token_fails_in_prod_unless_it_is_allowed_by_name(rig: Rig) -> None:
    prod = {'environment = "dev"': 'environment = "prod"'}
    configure(rig, **prod)
    code, lines = check(rig, "--offline")
    assert (code, lines["token"]["level"]) == (1, "fail")
    assert lines["token"]["detail"].startswith("token_software")
    assert "allow_software_token_in_prod" in lines["token"]["remedy"]
    assert "server" not in lines
    configure(rig, **prod, **{"[token]\n": "[token]\nallow_software_token_in_prod = true\n"})
    _, lines = check(rig, "--offline")
    assert lines["token"]["level"] == "ok"
    configure(rig)


def test_a_robot_that_never_ran_is_checked_without_leaving_a_trace(rig: Rig, tmp_path: Path) -> None:
    configure(rig, **{json.dumps(str(rig.state)): json.dumps(str(tmp_path / "fresh" / "state"))})
    code, lines = check(rig)
    configure(rig)
    assert code == 0
    assert (lines["state folder"]["level"], lines["token"]["level"]) == ("warn", "ok")
    assert not (tmp_path / "fresh").exists()
    assert list((rig.folder / "tmp").iterdir()) == []


def test_a_running_daemons_own_signer_is_asked_and_no_second_one_started(rig: Rig) -> None:
    def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(rig.state / "run" / "signer.sock")) == 0

    def ask() -> str:
        done = rig.tool("check", "--offline", "--config", str(rig.config_file))
        assert "ok    token: software key" in done.stdout
        return done.stderr

    assert "The signer listens." in ask()  # one of its own, whose log is seen
    rig.actod.start()
    try:
        wait_for(listens, what="the signer's socket")
        assert ask() == ""
    finally:
        assert rig.actod.stop() == 0
