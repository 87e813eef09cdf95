"""Producers: whatever writes records into the spool from inside this package."""
