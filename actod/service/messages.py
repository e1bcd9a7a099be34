"""The messages that an operator may have to act on: each sentence of the log, its MESSAGE_ID, its meaning, and its remedy.

The one table behind the MESSAGE_ID fields in the journal and the catalogue that `journalctl -x` shows. An id is for ever:
a sentence may be reworded, its id stays. `@ACTOD_NAME@` stands for a field of the entry.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of entry: `explained` says what happened and what to do, in whole sentences."""

    id: str
    explained: str


MESSAGES: dict[str, Message] = {
    # -- metrics -------------------------------------------------------------------------------------------------------
    "Nobody can ask for metrics: the port cannot be had; it is tried again.": Message(
        "55cd61480ed5475bbc551f17b58827bf",
        "Nothing listens at metrics.listen: @ACTOD_REASON@. If another program has the port, choose another one. If the "
        "unit does not allow it (actod.service allows port 9464 alone), write SocketBindAllow=ipv4:tcp:PORT under "
        "[Service] in systemctl edit actod. Nothing else is concerned.",
    ),
    "The metrics cannot be written for node_exporter; it is tried again.": Message(
        "8bacd486715144f5a05bf5826d24edfa",
        "metrics.textfile cannot be written: @ACTOD_REASON@. Its folder must be there, belong to the user of the daemon, "
        "and be let through by the unit (docs/monitoring.md). Nothing else is concerned.",
    ),
    "The counters of earlier runs cannot be read; they begin anew.": Message(
        "ffa179a79cee4dc0a7088e3fa26d6c45",
        "@ACTOD_FILE@ is damaged. Counters that stand nowhere else begin at 0, as after the loss of the folder; "
        "the signed ledger of losses is not concerned. Nothing has to be done.",
    ),
    "The metrics cannot be drawn, by a defect of ours.": Message(
        "ba0e7fc2b8d84f6393fa89010037958b",
        "A defect of actod (@ACTOD_ERROR@). Metrics and status are not told; recording, sealing and submission are not "
        "concerned. Please report it.",
    ),
    "The counters cannot be written; a restart would know those of a minute ago or more.": Message(
        "b7e56ef6d20c433da8c72f701aa74d63",
        "The disk refuses. See the other entries, and `actod check`.",
    ),
    # -- life ----------------------------------------------------------------------------------------------------------
    "Collecting.": Message(
        "818db80fa07a47e0b6bcb0aa2638a114",
        "The store is open and the daemon takes messages. Nothing has to be done.",
    ),
    "Stopping: what was read is committed and acknowledged.": Message(
        "bdf7ed6595034b449e8b79e9e33b67df",
        "The daemon was told to stop. What was not read yet stays with the broker, what was not sent yet stays on disk.",
    ),
    "The configuration is refused.": Message(
        "c614afde62be4eccb9d01da9ff3a2204",
        "The daemon does not start: @ACTOD_FILE@ holds a value that makes no sense at @ACTOD_KEY@. Expected: "
        "@ACTOD_EXPECTED@. What mends it: @ACTOD_FIX@. Then: systemctl restart actod.",
    ),
    "The new configuration is refused; the old one stays in force.": Message(
        "9b7ff8552fcf43f08a23362a96ae6357",
        "A reload changed nothing: @ACTOD_FILE@ holds a value that makes no sense at @ACTOD_KEY@. Expected: "
        "@ACTOD_EXPECTED@. What mends it: @ACTOD_FIX@. Then: systemctl reload actod. Until then a restart would "
        "fail, too.",
    ),
    "The configuration was read again.": Message(
        "b8f66e5273dd4a6198a66bf20e5e716d",
        "A reload is in force (SHA-256 @ACTOD_CONFIG@). What changed: @ACTOD_CHANGED@. What takes a restart: "
        "@ACTOD_NEEDS_RESTART@ (systemctl restart actod, if that is not empty).",
    ),
    "A part makes no progress; systemd is not told that we live.": Message(
        "620f2b7bccc14a408a2f9c177698939c",
        "@ACTOD_PARTS@ did not answer in time. If that lasts as long as WatchdogSec= of the unit, systemd ends "
        "the process and starts it anew; nothing that was acknowledged is lost. `store` and `audit` hang when the "
        "disk does: see journalctl -k for errors of the card, and replace it. `token` hangs when the TPM or HSM "
        "does: see its driver's messages.",
    ),
    "Every part gets on again.": Message(
        "e595b7c3eae74b76a65eb898f0bce15b",
        "What hung goes on by itself. If it comes back often, measure the disk: a worn card stalls before it dies.",
    ),
    # -- disk ----------------------------------------------------------------------------------------------------------
    "The audit log lost lines that were on disk: it was cut, written anew, or damaged.": Message(
        "32e06295be704e63a40635bd78904c4c",
        "The store was told of line @ACTOD_TOLD_N@ when it was on disk, and the audit log does not hold it any more. "
        "Somebody who can write the files removed it, or the card did. The device's chain says so (record audit_cut). "
        "What to do: take a copy of the log, and hold it against what the collector has: actod audit verify --trust "
        "FILE BUNDLES. Then see docs/audit.md.",
    ),
    "a delivered bundle could not be read back from the disk; it is written anew": Message(
        "e02af37bcfb2467cb761fb2df5a67963",
        "The disk gave other bytes than were written for the bundle @ACTOD_PROOF_ID@. What to do: look at the "
        "card (journalctl -k), and replace it if this comes again.",
    ),
    "The queue has nearly filled its share of store.max_bytes.": Message(
        "3e62d3675c244316b65e99cdb715f527",
        "@ACTOD_PERCENT@ % are used. When it is full, store.when_full decides. What mends it: see why nothing "
        "leaves (actod why), or raise store.max_bytes.",
    ),
    "the queue is full: the oldest messages of a class are given up": Message(
        "3404d2f525254e579f7a5d8724faeef4",
        "@ACTOD_MESSAGES@ messages were dropped by the rule store.when_full; the signed ledger counts them. What "
        "mends it: see why nothing leaves (systemctl status actod), raise store.max_bytes.",
    ),
    "more is queued than store.max_bytes allows now; nothing is taken in until it is delivered": Message(
        "b834d5d0b4824638a2e4612c2143ced4",
        "store.max_bytes was lowered below what waits. Nothing is dropped. What mends it: raise it again, or wait "
        "until enough has left.",
    ),
    "The state folder cannot be opened; it is tried again.": Message(
        "9c00fa6db3e2441990a82e4aa5218ef8",
        "The disk is full or cannot be written (@ACTOD_REASON@). The broker keeps what it was not acknowledged. "
        "What mends it: make room on the disk of the state folder; `actod check` names it.",
    ),
    "The disk refuses; it is tried again, and nothing is given up.": Message(
        "c406f2c9455743528df40b329a22a434",
        "The store cannot write (@ACTOD_REASON@). Nothing is acknowledged meanwhile, so the broker keeps it, as "
        "long as its own queue lasts. What mends it: make room on the disk, raise store.max_bytes, or let bundles "
        "leave (`actod queue list`); where the reason is audit_unreceipted, one delivered bundle (`actod why`).",
    ),
    "The disk takes data again.": Message(
        "4017b013aced4a228272155342e2dd1a",
        "Work goes on where it stopped. Nothing has to be done.",
    ),
    "the store is damaged and is being repaired": Message(
        "961ed5da66d1409f9b8051a24890737d",
        "A page of the store does not hold what was written (@ACTOD_REASON@). Each good row is kept, the rest is "
        "counted in the signed ledger. What to do: look at the card (journalctl -k), and replace it if this comes "
        "again.",
    ),
    "the store was repaired": Message(
        "ebe871c022824f7ebf6deb2494aa5d47",
        "@ACTOD_KEPT@ messages were kept, @ACTOD_LOST@ are gone; the signed ledger says so. The damaged file lies "
        "aside in the state folder. What to do: replace the card if this comes again.",
    ),
    "journal rows were damaged; they are counted in the ledger": Message(
        "b72b573d7c68449d912834d09f6fdd5a",
        "@ACTOD_MESSAGES@ journaled messages no longer have the bytes that were written; the signed ledger counts "
        "them. What to do: replace the card if this comes again.",
    ),
    "a sealed bundle was damaged; its messages are counted in the ledger": Message(
        "bce2bf51e2054253b0906ec95c836443",
        "A bundle of @ACTOD_MESSAGES@ messages no longer has the bytes that were signed; the signed ledger counts "
        "them. What to do: replace the card if this comes again.",
    ),
    # -- broker --------------------------------------------------------------------------------------------------------
    "Another client uses our client id and has our session; it is left to it for a while. Give each its own id.": Message(
        "badc323f76384e37ac9f5c5f00802d54",
        "A second client came as @ACTOD_CLIENT_ID@. Whoever has the session gets the robot's messages. What mends "
        "it: give each its own mqtt.client_id, and find out who it is.",
    ),
    "The broker has forgotten our session: how much it kept for us, nobody can tell any more.": Message(
        "58d40d33090f42caa000b0d15808c7d1",
        "What the broker held for us while we were away may be gone; the signed ledger says session_lost. What "
        "mends it for the next time: persistence at the broker, and a longer mqtt.session_expiry_seconds.",
    ),
    "The broker names no subscriptions: what two crossing filters match may be recorded twice.": Message(
        "4c9ab312badc4e30b21a5ba1cc9054aa",
        "Copies cannot be told from messages. What mends it: routes whose filters do not cross, or a broker with "
        "subscription identifiers (MQTT 5).",
    ),
    "The broker is connected.": Message(
        "06177d5626af487a8b42f7a9ac8e4a14",
        "Messages can come. Nothing has to be done.",
    ),
    "The broker is away; it is tried again.": Message(
        "9fd999f6d92b419abf373b8ff858a8f3",
        "No session with the broker (@ACTOD_REASON@: @ACTOD_DETAIL@). It keeps QoS 1 messages for us up to its "
        "own limit. What mends it: start the broker; check mqtt.host, mqtt.port, mqtt.ca_file, mqtt.username. "
        "`actod check` tries it.",
    ),
    "The broker refused a subscription.": Message(
        "c4515f55982c4b2ea1fad97d4b038233",
        "The broker does not let us read @ACTOD_TOPIC@ (@ACTOD_REASON@). What mends it: its access list.",
    ),
    "The broker does not let us see what it drops.": Message(
        "ec872c5e5bd74fb588af7d6ca8fb175d",
        "The broker's own losses cannot be put into the signed ledger. What mends it: let this client read $SYS/broker/#.",
    ),
    "The broker grants QoS 0 only: what it loses on the way is not sent again.": Message(
        "79825858e1d14e9e9f751892e9a96860",
        "Messages on @ACTOD_TOPIC@ are not acknowledged. What mends it: allow QoS 1 at the broker.",
    ),
    # -- token ---------------------------------------------------------------------------------------------------------
    "The token does not sign.": Message(
        "13c18a7b804c4278a6627b6a84452b94",
        "The signer could not sign (@ACTOD_REASON@: @ACTOD_DETAIL@). Messages are journaled meanwhile. What mends "
        "it: actod check names the remedy for the reason.",
    ),
    "What the token signed about its keys is not taken; it is tried again.": Message(
        "0e258b6e2f7741e18ebe9a46cfe577e9",
        "The signature does not verify, or names other keys (@ACTOD_REASON@). Sealing waits. What to do if it "
        "lasts: actod keys list, actod check.",
    ),
    "The token does not come back in this process; another is tried.": Message(
        "8b326f89da7a479aa9a9b21d4835bdeb",
        "The signer ends, and is started again with a fresh PKCS#11 library. Messages are journaled meanwhile. "
        "What to do if it comes again: look at the token's driver.",
    ),
    "The key is older than its schedule allows: actod keys rotate": Message(
        "c8df8114e24c43ac9dc1795c208fd4c7",
        "The signing key is @ACTOD_DAYS@ days old. It goes on signing. What mends it: actod keys rotate, and "
        "enrol the new key.",
    ),
    "The TPM has locked itself after failed PINs or unclean stops; the PIN is tried again when that has ended.": Message(
        "d431d6d330ef48f8af371ed9c35dd9f9",
        "Nothing is signed for at most @ACTOD_AT_MOST_SECONDS@ s; messages are journaled and sealed afterwards. "
        "What to do: wait, or tpm2_dictionarylockout --clear-lockout with the lockout's authorisation; set limits "
        "as deploy/tpm does.",
    ),
    "The file that names the keys was damaged; the key that was used last goes on.": Message(
        "f99b498657d84d2ca1f98641f9d40f0e",
        "Which keys there are was read from the audit log instead. What to do: actod keys list, and look at the card.",
    ),
    "Sealing waits for the token; collecting goes on.": Message(
        "a75d19664b7f4c2cbc530939c8c4247b",
        "The token cannot be used (@ACTOD_REASON@). Messages are journaled, and sealed when it is back. What "
        "mends it: systemctl status actod-signer, then `actod check`, which names the remedy for the reason.",
    ),
    "Sealing goes on.": Message(
        "4f2661972f2e47e5b3bad77a231ba85f",
        "The token is back (it was away for: @ACTOD_WAITED_FOR@). Nothing has to be done.",
    ),
    "The signer listens.": Message(
        "2c938258832549e9bdc44d5d0bd1d75e",
        "The process that holds the token answers at @ACTOD_SOCKET@. Nothing has to be done.",
    ),
    "The signer ended and is started again.": Message(
        "b128cf93e09b4395941d3dcf7cc7bdee",
        "The process that holds the token ended (@ACTOD_WHY@). Messages are journaled meanwhile. What to do if it "
        "comes again: look at the token's driver; `actod check` tries the token.",
    ),
    "A process of another user was refused.": Message(
        "1a651527dfdb459b9f009893fc921f5e",
        "Somebody who is neither the signer's user nor signer.daemon_user asked for a signature. What to do: if "
        "the daemon runs as another user, name it in signer.daemon_user; else find out who it was.",
    ),
    # -- collector -----------------------------------------------------------------------------------------------------
    "The signed pin set ends soon; after that nothing is sent: sign a newer one.": Message(
        "de702043f5b94a7a90d46d2f367440f7",
        "@ACTOD_DAYS@ days are left. What mends it: the operators sign a newer set (docs/pins.md), and put it "
        "where collector.pin_set.file names it.",
    ),
    "An alert could not be delivered: actod alert test.": Message(
        "7275e90de4424690a99a168af7e298f0",
        "The channel @ACTOD_CHANNEL@ does not take alerts (@ACTOD_REASON@). Proofs are not concerned. What mends "
        "it: its URL and secret; actod alert test tries it.",
    ),
    "The machine's health is not reported; proofs are not concerned.": Message(
        "f87b30ac56674f5ca7335703bf0b41b5",
        "The collector does not take health reports (@ACTOD_REASON@). What to do: ask who runs it whether it "
        "knows this device.",
    ),
    "The collector does not hold a proof as it confirmed it.": Message(
        "3a3e4dc32a6d4b63b0c19594a058c183",
        "A proof that was confirmed (@ACTOD_PROOF_ID@) was fetched and compared: @ACTOD_FINDING@. Treat it as an "
        "incident: the record here stays valid, so keep it, and ask who runs the collector.",
    ),
    "A credential grows old: actod credentials rotate.": Message(
        "03e6b3f640474f858d4316743eb04b7e",
        "@ACTOD_KEY@ is @ACTOD_DAYS@ days old; @ACTOD_LIMIT@ are allowed here. What mends it: a new one from the "
        "server, and actod credentials rotate.",
    ),
    "No certificate of the server's chain is pinned; report-only lets it through.": Message(
        "85e5d52b8a2042d9b8dbf74a679c90f0",
        "When report-only ends, nothing will be sent. Seen: @ACTOD_SEEN@. What mends it: if that is the server's "
        "key, pin it; if not, find out who answers.",
    ),
    "What submission remembered cannot be read; it begins anew.": Message(
        "07ee4853e92545a4bb13d72865d045b3",
        "@ACTOD_FILE@ is damaged: budgets of this day count from zero. What to do: look at the card.",
    ),
    "What submission used of its budgets cannot be written.": Message(
        "2a0c1192eeaa4851ac736b08f6578cc0",
        "@ACTOD_FILE@ cannot be written: after a restart budgets count from zero. What mends it: make room on the disk.",
    ),
    "What submission must remember cannot be written; a restart would not know it.": Message(
        "5be4b05366cc4515ae36b864f0e3fac4",
        "The proofs go on. What mends it: make room on the disk of the state folder.",
    ),
    "A certificate of the server ends soon.": Message(
        "03959645e08845158c2bb1875b70cfe1",
        "In @ACTOD_DAYS@ days (@ACTOD_ENDS@) nothing can be sent any more. What to do: ask who runs the "
        "collector, and pin the key that comes.",
    ),
    "Another CA issues the server's certificate now.": Message(
        "1abfff82b9fc46c580960f41ab9ab502",
        "The pins hold, so it is let through. Before: @ACTOD_BEFORE@, now: @ACTOD_NOW@. What to do: ask who runs "
        "the collector whether that was meant.",
    ),
    "What was known of signed pin sets is damaged: an older one could be taken now.": Message(
        "9a5a657e5a3b45ee92d622c3f0c4829a",
        "The version of the newest signed set is not known. What to do: compare actod pins with what the "
        "operators signed last, and look at the card.",
    ),
    "The certificate files cannot be used; the ones read before stay.": Message(
        "87269872581b4fafa85b60ee6d6a7e52",
        "A changed CA or client certificate is not taken: @ACTOD_WHY@. What mends it: write whole files; a "
        "restart would refuse them.",
    ),
    "The file of pins is not taken; the pins in force stay.": Message(
        "290f272990584feab6980f5e95262cf5",
        "@ACTOD_WHY@. What mends it: a set that the operators signed, with a higher version: actod pins.",
    ),
    "Submission is held up; the queue is kept.": Message(
        "cdd1751947074c6ca9750e572a87319b",
        "Bundles do not reach the collector: @ACTOD_STATE@ (@ACTOD_REASON@). What mends it: @ACTOD_REMEDY@. "
        "They stay on disk and leave, oldest first, when it is mended. `actod check` tries the collector.",
    ),
    "Submission is locked for an incident; collecting goes on.": Message(
        "d2921c0fb5834f1da6954bc3664460a8",
        "An operator locked submission (@ACTOD_REASON@): what comes in is masked, sealed and queued, and nothing leaves, "
        "over restarts too. `file_damaged` says that incident.json in the state folder cannot be read: it counts as "
        "locked. When the incident is over: actod incident unlock. Steps for each kind of incident: docs/incidents.md.",
    ),
    "Submission goes on.": Message(
        "bf4e8c1c2b1d432c8e834aa9116d7d7b",
        "The collector takes bundles again (before: @ACTOD_BEFORE@). Nothing has to be done.",
    ),
    # -- maintenance ---------------------------------------------------------------------------------------------------
    "Maintenance is done, and all is well.": Message(
        "7f4db57e9e7246a7909a72730fb1c0a9",
        "The @ACTOD_KIND@ round found nothing. Nothing has to be done.",
    ),
    "Maintenance found what calls for a person.": Message(
        "b258aab07333424281147c2bff1e51d4",
        "The @ACTOD_KIND@ round: failed: @ACTOD_FAILED@; worth a look: @ACTOD_WARNED@. What mends each stands in the lines "
        "of its unit (journalctl -u 'actod-maintenance@*'), and again in: sudo -u actod actod maintenance @ACTOD_KIND@.",
    ),
    "Maintenance reminds of what only people can do.": Message(
        "6826e25aa7ce48108bbb66803b17f1d8",
        "The quarter is over. To be done by people, and noted in their own records: @ACTOD_ASKED@. What each means: "
        "sudo -u actod actod maintenance quarterly; docs/maintenance.md.",
    ),
    # -- control, log --------------------------------------------------------------------------------------------------
    "The control socket cannot be made; it is tried again.": Message(
        "73fb4f86556e4fa497156e7d6805d451",
        "Commands such as `actod reload` cannot reach the daemon (@ACTOD_REASON@); all else works. What mends it: "
        "name a folder that the daemon's user alone can write in control.socket.",
    ),
    "A command failed by a defect of ours.": Message(
        "4407292b0b41492e9e37fbad11c15335",
        "A command at the control socket met an error that nobody thought of (@ACTOD_ERROR@). The daemon goes on. "
        "What to do: report it, with the version and the command.",
    ),
    "A line came too often; it was held back.": Message(
        "80248502d3c14beb9770a914b718ba41",
        "@ACTOD_COUNT@ lines that said the same were left out: @ACTOD_LINE@ What they are about is explained at "
        "the ones that were written.",
    ),
    "The log goes to stderr, without fields: the Python binding of systemd is missing.": Message(
        "ad48c0fcafb54d79bdff5a0989d8a6dc",
        "Entries have neither fields nor MESSAGE_ID. What mends it: install python3-systemd.",
    ),
}


# Said by the Debian package, when nothing of actod is left that could.
PURGED = Message(
    "e259b5dd4cdf4830aff5e7a6c7d665b8",
    "The package was purged: configuration, key, queue and audit log (@ACTOD_KIB@ KiB) are erased, as far as the "
    "storage overwrites in place. What the collector has stays valid; retire the key there: it signs nothing any more.",
)


def catalogue() -> str:
    """Return the table as a journal message catalogue; see catalog files in systemd's documentation."""
    entries = [
        f"-- {message.id}\nSubject: {sentence.rstrip('.')}\nDefined-By: actod\nDocumentation: man:actod(8)\n\n"
        f"{textwrap.fill(message.explained, 96, break_long_words=False)}\n"
        for sentence, message in [*MESSAGES.items(), ("actod was purged", PURGED)]
    ]
    return "# What each MESSAGE_ID of actod means, and what mends it: journalctl -x\n\n" + "\n".join(entries)
