"""What the machine around the daemon needs: clock, log, systemd, status."""
