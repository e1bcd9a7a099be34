"""MQTT session, routes and profiles, decoding and limits."""
