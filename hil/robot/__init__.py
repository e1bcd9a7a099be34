"""A robot that can be repeated by its seed: VDA 5050 missions, sensors, and notes full of planted personal data."""
