"""What an operator does about each reason for which the token does not sign."""

from __future__ import annotations

_BY_REASON = {
    "token_absent": "check token.uri, and that the token is there: pkcs11-tool --module MODULE -L",
    "token_count": "make token.uri name exactly one token, by label and serial",
    "token_away": "check module-path in token.uri, and the log of the token's driver",
    "token_software": "use a TPM or HSM, or set token.allow_software_token_in_prod = true",
    "probe_failed": "the token signs wrongly: update its firmware or driver, or use another",
    "key_count": "make exactly one key with the label of token.uri: actod keys init",
    "key_exists": "name another label in token.uri, or remove the old key: pkcs11-tool --delete-object",
    "key_foreign": "use a key that was made on the token: name a new label in token.uri, then actod keys init",
    "key_choice": "the token holds several generations of the key: say which one signs",
    "key_unknown": "the key that was chosen is not on the token any more: actod keys list",
    "signature_wrong": "the token signs wrongly: update its firmware or driver, or use another",
    "key_open": "use a key that is sensitive and not extractable: name a new label in token.uri, then actod keys init",
    "key_kind": "use a token and a key of Ed25519 or P-256: name a new label in token.uri, then actod keys init",
    "pin_incorrect": "put the right PIN into token.pin_file; this one is not sent again until actod starts anew",
    "pin_locked": "a TPM unlocks itself, and actod check says how long that lasts at most; another token: use its SO PIN",
    "pin_unset": "set the token's user PIN with its SO PIN: pkcs11-tool --init-pin",
    "pin_last_try": "log in once by hand with the right PIN, which resets the count: pkcs11-tool --login --test",
    "pin_unreadable": "write the PIN to the file of token.pin_file, mode 0600",
    "pin_irregular": "write the PIN to the file of token.pin_file, mode 0600",
    "pin_open": "chmod 600 the file of token.pin_file, and change the PIN: others could read it",
    "pin_foreign": "chown the file of token.pin_file to the user of actod",
    "pin_empty": "write the PIN to the file of token.pin_file",
    "pin_malformed": "write the PIN alone, on one line, to the file of token.pin_file",
    "key_adoption": "an adoption is under way: wait until actod keys list shows its end, then ask again",
    "keys_unwritable": "make room on the disk of state_directory, and see that it can be written: actod check",
    "key_gone": "bring the token back that holds it; where that cannot be: actod keys adopt (docs/keys.md)",
    "keys_unreadable": "see that keys.json in state_directory can be read: actod check",
    "keys_damaged": "start actod: it goes on with the key that the audit log names, and writes the file anew",
    "key_present": "actod keys rotate",
    "key_unused": "actod keys list shows the keys with which this robot signed",
    "key_change_pending": "wait until actod keys list shows no next key; sealing must go on: actod check",
    "rotation_pending": "mend what sealing waits for (actod check), then actod keys retire with the old key's thumbprint",
    "nothing_prepared": "actod keys adopt --operator FILE --out FILE",
    "statement_stale": "actod keys adopt --operator FILE --out FILE, and have the new statement signed",
    "statement_unsigned": "sign the file that actod keys adopt --out wrote, to the byte, with the key of --operator",
    "daemon_away": "start actod: a change of keys is a record of its chain",
    "signer_timeout": "the token's driver does not answer: see its log, and whether the device is still there",
    "signer_crashed": "the library of module-path in token.uri ends the process: update it, or name the right one",
    "peer_refused": "run this command as the user of actod",
}


REASONS = frozenset(_BY_REASON)


def remedy(reason: str) -> str:
    """Return what to do about a reason of the signer or the token."""
    return _BY_REASON.get(reason, "see what the signer itself says: actod signer --config FILE")
