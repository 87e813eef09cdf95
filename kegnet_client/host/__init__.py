"""What the machine gives: clocks, log, whole files, systemd, the state file."""
