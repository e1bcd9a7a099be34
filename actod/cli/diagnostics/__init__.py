"""What a bundle for support holds: `fields.py` says what may leave, `collectors.py` gathers, `bundle.py` puts together."""
