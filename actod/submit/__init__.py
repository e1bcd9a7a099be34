"""The HTTPS client: pins, verdicts, backoff, budgets."""
