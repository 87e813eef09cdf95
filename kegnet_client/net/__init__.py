"""One HTTPS exchange."""
