"""What the hub tells others."""
