"""Real parts that tests, demo and rig start: a broker, a token, a private CA."""
