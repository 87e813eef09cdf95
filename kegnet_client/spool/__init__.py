"""The directory that is the queue."""
