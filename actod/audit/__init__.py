"""The append-only, hash-chained local log and its verification."""
