"""What is known of the program: what it logs of its server, and how often it looks."""

KEPT = "Records stay in the spool"
"""It logs so as the server goes."""
BACK = "the server takes records again"
CHECK_S = 60.0
"""How often the daemon compares the directory with what it knows, when nothing happens."""
