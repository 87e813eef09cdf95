"""Signed programs on this device: what a document says, who signed it, the box it runs in, and the feed it comes by."""
