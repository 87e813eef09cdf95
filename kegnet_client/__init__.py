"""A spool-watching telemetry client for KegNet: every pour and temperature, signed and delivered."""

__version__ = "0.2.0"

RELEASED_MS = 1_795_737_600_000
"""2026-11-27T00:00:00Z, just before this version was made: a clock that shows an earlier time is wrong."""
