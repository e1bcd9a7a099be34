"""Removes personal data and secrets, failing closed."""
