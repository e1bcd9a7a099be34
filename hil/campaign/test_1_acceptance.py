"""The package as an operator installs it, on a robot with a TPM: each step on what the one before left."""

from __future__ import annotations

from hil import acceptance, chip
from hil.acceptance import Site, say
from hil.world import World

_COLLECTS_WITHIN_SECONDS = 5.0


def test_the_package_installs_and_systemd_has_nothing_to_say_of_its_units(site: Site) -> None:
    acceptance.install(site)


def test_the_tpm_is_provisioned_once(site: Site) -> None:
    acceptance.provision(site)


def test_it_collects_without_the_token_and_signs_with_it(world: World, site: Site) -> None:
    world.configure()
    acceptance.start(site)


def test_all_checks_pass_in_prod_but_that_of_the_disk_which_is_not_encrypted(site: Site) -> None:
    acceptance.check(site, fails={"disk-encryption"})


def test_its_limits_of_memory_and_swap_are_in_force(site: Site) -> None:
    acceptance.limits(site)


def test_what_it_uses_at_rest_is_measured(site: Site) -> None:
    acceptance.at_rest(site)


def test_a_new_configuration_is_checked_first_and_journalctl_explains_a_refusal(site: Site) -> None:
    acceptance.reload(site)


def test_metrics_leave_at_one_port_and_in_one_file(site: Site) -> None:
    acceptance.metrics(site)


def test_a_signer_that_is_killed_or_stopped_is_started_again(site: Site) -> None:
    acceptance.lose_the_signer(site)


def test_it_collects_at_a_boot_without_the_tpm_and_seals_once_it_is_there(world: World, site: Site) -> None:
    robot = world.robot
    chip.absent_at_boot(robot)
    number = site.publish()
    world.restart()
    assert not chip.is_there(robot)
    site.wait(lambda: world.is_acknowledged(number), seconds=30, what="a message on disk")
    say("collects at a boot without the TPM", **world.start_times())
    assert number not in site.numbers()
    chip.give_back(robot)
    site.wait(lambda: number in site.numbers(), seconds=120, what="the message that waited for the TPM")
    say("the TPM came late, and what waited for it is signed")


def test_a_locked_tpm_is_named_and_waited_for(world: World, site: Site) -> None:
    robot = world.robot
    chip.lock(robot, seconds=600)
    robot.run("systemctl", "restart", "actod-signer", check=False)
    number = site.publish()
    site.wait(lambda: world.is_acknowledged(number), seconds=30, what="a message on disk")
    site.wait(
        lambda: "sealing waits for token" in robot.shows("actod", "StatusText"),
        seconds=60,
        what="the status of a locked TPM",
    )
    status = robot.shows("actod", "StatusText")
    chip.unlock(robot)
    robot.run("systemctl", "restart", "actod-signer")
    site.wait(lambda: number in site.numbers(), seconds=120, what="the message that waited for the lock's end")
    say("a locked TPM is waited for", status=repr(status))


def test_an_upgrade_under_load_loses_nothing(site: Site) -> None:
    acceptance.upgrade(site)


def test_the_journal_has_fields_and_no_secret(site: Site) -> None:
    acceptance.journal(site)
