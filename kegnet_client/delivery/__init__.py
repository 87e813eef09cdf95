"""From a file in the spool to its acknowledgement."""
