"""Journal, outbox, archive, loss ledger, quarantine."""
