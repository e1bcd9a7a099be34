"""Canonical bytes, envelope, chain and verification: pure, no I/O."""
