"""Journal, outbox, archive, quarantine and loss ledger: one SQLite file, owned by one thread.

      commit            next_bundle, put              receipt
    ---------> journal ----------------> outbox ----------------> archive (its oldest make room)
       |          ^          split          |  set_aside
       |          +-------------------------+
       |                                   +----------> quarantine --> retry, purge
       +--> loss ledger --> into the next bundle; all that is dropped anywhere is counted in

The promise stands on the following. What is said here is held by `tests/store` and, cut at every system call, by
`tests/power` (a sample; `python -m tests.power` cuts at each of them, in twenty orders of what was not synced).

What is durable when
    D1  `commit` returns only after COMMIT in WAL mode with synchronous=FULL: every frame of the group, the commit frame
        last, is written to the WAL and fdatasync'ed. Only then are PUBACKs sent.
    D2  Before a call that changed anything returns, the audit log has fsynced a checkpoint line that says so
        (`checkpoint.py`). COMMIT comes first: the log never tells of a state that the file did not reach.
    D3  `put` is one transaction: journal rows out, envelope in, chain head, seq, device_seq and losses carried. An
        envelope leaves only through `take`, hence after D1 and D2 of its `put`.
    D4  A file that appears (genesis, repair) is whole and fsynced before it gets its name, and the folder is fsynced after;
        before genesis gives the name, the folder's own name and those above it are fsynced.

What always holds
    I1  Each message has a number, given in order of its commit, never twice. A chunk (one stream's share of one group)
        holds consecutive numbers and bears the first.
    I2  last = settled + messages in journal, outbox and quarantine: `last` is the highest number, `settled` counts what
        was delivered or has been entered in the ledger as gone. So what a damaged file lost is counted exactly, from
        whichever of file and audit log is left.
    I3  seq, device_seq and head of a chain change only in `put`, and only for the bundle that `next_bundle` handed out:
        no number names two contents that left. A bundle that was cut, even signed, and not put, never was.
    I4  A loss is counted in the transaction that brings it about, and leaves the ledger in the `put` of the bundle that
        tells of it. If that bundle is lost before delivery, what it told is counted as lost.
    I5  An event is written once, with its chunk. Sealing, archiving and setting aside move rows that name it.
        `split` brings a bundle's events back to the journal, under the same numbers, in one transaction with the removal
        of the bundle and the return of its ledger lines; its seq stays used, and the bundles that follow name its hash.
    I6  Every row carries a digest of its fields, and of the content that it names. What does not match is never used.
    I7  All files of the state folder together never pass `store.max_bytes` (`actod/shares.py`): SQLite refuses pages beyond
        the database's share, a transaction that would take the WAL beyond its own waits, what a repair sets aside is
        pruned before the repair needs the room. What is journaled has the room reserved that its bundles will need.
    I8  Epochs only rise. `spool.lock` notes device and epoch, too: where file and audit log are both gone, the same device
        begins an epoch that it never had.

What a crash leaves, by the moment of it
    before the commit frame is on disk   nothing of the transaction. The broker sends the group again.
    after it, before the audit line      the transaction. For `commit`: not acknowledged, sent again, and marked
                                         "redelivered" by packet id and digest (`recent.py`). For `put`: the chain has
                                         gone on, the envelope waits; the next start tells the audit log.
    between `next_bundle` and `put`      the journal as it was; the bundle is cut anew, maybe otherwise (I3).
    after delivery, before `receipt`     the envelope in the outbox; it is sent again, to the same proof id.
    in a checkpoint of the WAL           the WAL, which is complete until the database file was fsynced.
    in genesis                           `spool.building`, which counts for nothing.
    in a repair                          `repair.py`: either nothing was touched or the next start goes on.

Why no order of un-synced writes breaks it
    Frames are chained by salted, cumulative checksums, and recovery stops at the first that does not match: whatever
    subset of un-synced sectors reached the disk, what is replayed is a prefix of whole transactions, and D1 makes that
    prefix hold all that was returned from. The database file is written only from frames that were fsynced, and the WAL
    starts over only after the database file was. A torn page of the file is covered by its frame. `-shm` is rebuilt.
    Names: SQLite fsyncs the folder when it makes the WAL; genesis and repair do so themselves (D4).

    All this needs a disk that honours flush. One that lies is found at the next start, when the audit log, another file,
    knows better: the difference is counted, numbers, chains and identities go on from the higher of both. Where it left
    pages of several ages in one file, what is gone is counted, but not always to the last message.

A full queue: the archive gives way, then what the operator lets be dropped (`room.py`), else the call is refused.
A full disk, a read-only one, an I/O error: the transaction is rolled back, TransientError says why, the same call works
again later. Damage: the file is set aside, each good row is saved, the rest is counted (`salvage.py`), work goes on. The
pages that say where the tables are can be lost too: they are the same in every store, and put back (`repair.py`).
"""
