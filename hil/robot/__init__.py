"""A robot model: missions, sensors, people. Reproducible by seed; each message can be told from every other."""
