"""From a device's request to rows."""
