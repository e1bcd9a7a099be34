"""The pages for a robot at work: each command runs as it stands, on a robot that docs/install.md made, page after page."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hil.rig import wait_for
from tests.docs.machine import CLONE, HOME
from tests.docs.page import Page
from tests.docs.robot import SITE_FILE, Robot, installed


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with installed(tmp_path_factory.mktemp("robot")) as robot:
        robot.install()
        yield robot


def test_install_leads_to_a_robot_that_signs_and_submits(robot: Robot) -> None:
    assert "submission  ok" in robot.machine.run("sudo -u actod actod status")
    robot.bundles(f"{HOME}/bundles.jsonl")
    assert "valid: " in robot.machine.run("actod verify --trust robot.json bundles.jsonl")


def test_check_looks_at_a_group_offline_and_says_what_there_is(robot: Robot) -> None:
    page = Page("docs/check.md")
    assert "key-age" in robot.machine.run(page.take("check --only").typed())
    assert page.left() == []


def test_maintenance_makes_a_round(robot: Robot) -> None:
    page = Page("docs/maintenance.md")
    assert "audit" in robot.machine.run(page.take("maintenance weekly").typed())
    assert page.left() == []


def test_audit_holds_the_log_against_what_the_collector_has(robot: Robot) -> None:
    page, machine = Page("docs/audit.md"), robot.machine
    robot.bundles(f"{HOME}/bundles.jsonl")
    machine.run("cp robot.json robots.json")
    assert "submit" in machine.run(page.take("audit verify").typed())
    assert page.left() == []


def test_diag_makes_a_bundle_that_its_recipient_reads(robot: Robot) -> None:
    page, machine = Page("docs/diag.md"), robot.machine
    making, *rest = page.take("vault key").typed().splitlines()
    key = machine.run(making).split('"')[1]
    assert '{"id":"monitoring","level":"ok"}' in machine.run("\n".join(rest), environment={"RECIPIENT": key})
    assert page.left() == []


def test_reload_takes_a_change_and_says_what_is_wrong_with_another(robot: Robot) -> None:
    page = Page("docs/reload.md")
    block = page.take("systemctl reload").typed()
    robot.machine.write("/etc/actod/conf.d/95-extra.toml", "[collector]\nrequest_timeout_seconds = 31.0\n")
    robot.machine.run(block)
    robot.machine.write("/etc/actod/conf.d/95-extra.toml", "[collector]\nrequest_timeout_seconds = -1.0\n")
    robot.machine.run(block, code=1)
    robot.machine.run("rm /etc/actod/conf.d/95-extra.toml")
    robot.machine.run(block)
    assert page.left() == []


def test_topology_makes_a_broker_and_says_what_a_route_makes_of_a_message(robot: Robot) -> None:
    page = Page("docs/topology.md")
    shipped = robot.machine.read("/usr/share/doc/actod/examples/mosquitto.conf")
    filled = shipped.replace("<site-broker.example:8883>", "127.0.0.1:8883").replace(
        "</etc/mosquitto/site-ca.pem>", "/etc/actod/ca.pem"
    )
    robot.machine.run("rm /etc/mosquitto/conf.d/actod.conf")  # which made the desk's broker
    robot.machine.run(page.take("mosquitto.conf").typed(), typed=filled.replace("<", "").replace(">", ""))
    robot.report("by the robot's own broker")
    assert "operatingMode" in robot.machine.run(page.take("routes test").typed())
    assert page.left() == []


def test_submission_says_why_nothing_leaves(robot: Robot) -> None:
    page = Page("docs/submission.md")
    why = page.take("actod why").typed()
    robot.collector.take_keys("another")
    robot.say("while the key was refused")
    wait_for(lambda: "blocked:auth" in robot.machine.run(why), what="the reason")
    robot.collector.take_keys(robot.api_key)
    robot.arrives("while the key was refused")
    assert page.left() == []


def test_monitoring_shows_the_robot_once_and_live_and_lets_its_metrics_out(robot: Robot) -> None:
    page, machine = Page("docs/monitoring.md"), robot.machine
    shown = machine.run(page.take("actod why").typed())
    assert "last receipts\n" in shown
    assert '"rates_per_second"' in shown
    until_the_second = "--watch 0.2 | awk '{print} /last receipts/ && ++seen == 2 {exit}' || true"
    assert machine.run(page.take("--watch").typed(**{"--watch": until_the_second})).count("last receipts") == 2
    machine.write("/etc/actod/conf.d/96-metrics.toml", page.take("listen", language="toml").text)
    assert "\nactod_bundles_receipted_total " in machine.run(page.take("curl").typed())
    machine.run("rm /etc/actod/conf.d/96-metrics.toml")
    assert page.left() == []


def test_verify_shows_ways_without_actod_with_it_and_for_in_toto_tools(robot: Robot) -> None:
    page, machine = Page("docs/verify.md"), robot.machine
    robot.bundles(f"{CLONE}/bundles.jsonl")
    machine.run(f"cp {CLONE}/bundles.jsonl /var/tmp/")
    machine.run(f"head -n 1 {CLONE}/bundles.jsonl > {CLONE}/bundle.json")
    assert "INVALID" not in machine.run(page.take("docs/verify.py").typed(), cwd=CLONE)
    assert "Signature Verified Successfully" in machine.run(page.take("openssl pkeyutl -verify").typed(), cwd=CLONE)
    assert "valid: " in machine.run(page.take("actod verify").typed(), cwd=CLONE)
    machine.run(page.take("--dsse").typed())
    assert "payloadType" in machine.read(f"{HOME}/attestations.jsonl")
    assert page.left() == []


def test_masking_explains_and_searches(robot: Robot) -> None:
    page, machine = Page("docs/masking.md"), robot.machine
    machine.write(f"{HOME}/messages.jsonl", '{"note": "ask jane.roe@example.com"}\n')
    assert '"type":"email"' in machine.run(page.take("--explain").typed())
    machine.run("mkdir export; cp messages.jsonl export/")
    machine.run(page.take("--check").typed(), code=1)
    assert page.left() == []


def test_keys_are_enrolled_rotated_retired_and_followed_by_another_tokens(robot: Robot) -> None:
    page, machine = Page("docs/keys.md"), robot.machine

    def verified(trust: str) -> str:
        robot.bundles(f"{HOME}/bundles.jsonl")
        return machine.run(f"actod verify --trust {trust} bundles.jsonl")

    for word in ("openssl genpkey", "keys export"):
        machine.run(page.take(word).typed())
    assert "valid: " in verified("robot.json")
    first = json.loads(machine.run("sudo -u actod actod keys list --json"))[0]["ed25519"]
    assert "done" in machine.run(page.take("keys rotate").typed())
    machine.run(page.take("keys retire").typed(THUMBPRINT=first))
    robot.report("by a third key")
    assert "DISPUTED" in verified("robot.json")
    machine.run("systemctl stop actod-signer; /usr/lib/actod/tpm/unprovision softhsm --destroy-keys")
    machine.run("/usr/lib/actod/tpm/provision softhsm")
    robot.say("while the token was dead")
    for word in ("--out statement", "sign-statement", "keys adopt --signature"):
        machine.run(page.take(word).typed())
    robot.arrives("while the token was dead")
    robot.arrives("actod/key_adoption")
    assert "valid: " in verified("robot.json")
    assert page.left() == []


def test_pins_are_signed_by_two_operators_and_taken_by_the_robot(robot: Robot) -> None:
    page, machine = Page("docs/pins.md"), robot.machine
    machine.run(page.take("openssl genpkey -algorithm EC").typed())
    shown = machine.run(page.take("alice.pem").typed())
    alice, bob = (line for line in shown.splitlines() if line.startswith("MC"))
    pins = {
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=": robot.authority.pin,
        "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=": robot.authority.backup_pin,
    }
    given = {f"sha256/{word}": pin for word, pin in pins.items()}
    assert "signatures   2" in machine.run(page.take("actod pins sign").typed(**given))
    table = page.take("collector.pin_set", language="toml").text
    own = [line for line in table.splitlines() if '"MC' in line]
    for line, key in zip(own, (alice, bob), strict=False):
        table = table.replace(line, f'  "{key}",')
    machine.write("/etc/actod/conf.d/70-pins.toml", table)
    machine.run("sudo systemctl reload actod")
    assert "would be taken" in machine.run(page.take("pins verify").typed())
    wait_for(lambda: "version      1" in machine.run("sudo -u actod actod pins show"), what="the new pins in force")
    assert page.left() == []


def test_secrets_move_from_a_file_into_a_credential_or_a_file_of_the_daemons(robot: Robot) -> None:
    page, machine = Page("docs/secrets.md"), robot.machine
    for word in ("/dev/stdin /etc/actod/credentials", "--with-key=host ", "api-key.conf"):
        machine.run(page.take(word).typed(), typed=robot.api_key)
    robot.report("with an encrypted key")
    assert machine.run("ls /etc/actod/credentials") == ""
    machine.run(page.take("/etc/actod/own").typed(), typed=robot.api_key)
    robot.report("with a key that the daemon reads")
    assert page.left() == []


def test_credentials_are_listed_and_rotated(robot: Robot) -> None:
    page, machine = Page("docs/credentials.md"), robot.machine
    new = "acto_" + "n" * 43
    robot.collector.take_keys(robot.api_key, new)
    putting, listing, rotating, finishing = page.take("credentials list").typed().splitlines()
    machine.run(putting, typed=new)
    assert "collector.api_key_file" in machine.run(listing)
    at_work = 'while mosquitto_pub -q 1 -t robot/r7/state -m 1; do sleep 0.2; done >/dev/null 2>&1 & trap "kill $!" EXIT'
    assert "is still accepted" in machine.run(f"{at_work}\n{rotating}", code=1)
    robot.collector.take_keys(new)
    assert "refused, and removed" in machine.run(finishing)
    robot.collector.take_keys(robot.api_key, new)
    assert page.left() == []


def test_alerts_are_tried(robot: Robot) -> None:
    page, machine = Page("docs/alerts.md"), robot.machine
    machine.run("install -m 0600 -o actod /dev/stdin /etc/actod/own/url", typed="https://collector.example/health")
    machine.run("head -c 32 /dev/urandom | base64 | install -m 0600 -o actod /dev/stdin /etc/actod/own/secret")
    files = 'url_file = "/etc/actod/own/url"\nsecret_file = "/etc/actod/own/secret"\nca_file = "/etc/actod/ca.pem"\n'
    machine.write("/etc/actod/conf.d/80-alerts.toml", f'[[alerts]]\nname = "ops"\n{files}')
    machine.run(page.take("alert test").typed())
    assert page.left() == []


def test_moving_to_another_collector_and_to_another_broker_loses_nothing(robot: Robot) -> None:
    page, machine = Page("docs/moving.md"), robot.machine
    machine.run("rm /etc/actod/conf.d/70-pins.toml /etc/actod/conf.d/60-own-key.toml; systemctl reload actod")
    hosts = machine.read("/etc/hosts")
    machine.write("/etc/hosts", hosts.replace("collector.example", "collector.example new-collector.example"))
    machine.run(page.take("95-collector.toml").typed())
    robot.report("to the new collector")
    machine.run("rm -r /etc/systemd/system/actod.service.d")
    machine.run(page.take("api-key").typed(), typed=robot.api_key)
    robot.report("with the new key")
    machine.run("mosquitto -d -p 1885")
    machine.run(page.take("90-site.toml").typed(), typed=f"[mqtt]\nport = 1885\n{robot.site}")
    robot.say("by the new broker", port=1885)
    robot.arrives("by the new broker")
    machine.write(SITE_FILE, robot.site)
    machine.run(page.take("mosquitto_sub").typed(OLD_BROKER="127.0.0.1 -p 1885", CLIENT_ID="actod-x"))
    machine.run("systemctl restart actod")
    assert page.left() == []


def test_queue_sends_again_what_was_set_aside_or_drops_it_and_gives_an_export_to_its_recipient(robot: Robot) -> None:
    page, machine = Page("docs/queue.md"), robot.machine
    first, second = robot.poison("first", "second")
    machine.run(page.take("queue list ").typed(PROOF_ID=first))
    machine.run(page.take("queue retry").typed(PROOF_ID=first))
    robot.arrives("first")
    key = machine.run(page.take("vault key").typed()).split('"')[1]
    machine.run(page.take("queue export").typed(KEY=key))
    assert "valid: " in machine.run(page.take("vault open").typed())
    assert "1 bundles" in machine.run(page.take("queue purge").typed(PROOF_ID=second))
    assert page.left() == []


def test_upgrade_looks_before_and_after(robot: Robot) -> None:
    page, machine = Page("docs/upgrade.md"), robot.machine
    robot.bundles(f"{HOME}/bundles.jsonl")
    assert "whole: " in machine.run(page.take("queue fsck").typed())
    assert '"software":{"actod":' in machine.run(page.take("grep").typed())
    assert page.left() == []


def test_a_robot_ends_and_a_new_card_and_an_image_begin(robot: Robot) -> None:
    ending, backup, machine = Page("docs/decommission.md"), Page("docs/backup.md"), robot.machine
    machine.run(backup.take("actod-etc.tar.gz -C /etc --exclude").typed())
    record = machine.run(ending.take("actod wipe").typed(**{"unprovision tpm": "unprovision softhsm"}))
    assert '"submitted_bundles"' in record
    assert ending.left() == []
    machine.run("rm -r /etc/actod/conf.d/*")
    machine.run(backup.take("tar -xzf").typed())
    assert machine.read(SITE_FILE) == robot.site
    machine.write("/etc/actod/credentials/api-key", "")
    machine.run(backup.take("--with-unsent").typed())
    machine.run(
        "test ! -e /var/lib/actod-token; test ! -e /etc/actod/credentials/api-key; test ! -e /var/lib/actod/spool.db"
    )
    assert backup.left() == []
