"""What `actod check` looks at: one file for each group, `registry.py` runs them."""
