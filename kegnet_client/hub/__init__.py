"""A KegNet server of one's own, small enough for the Raspberry Pi that also runs the client.

It imports of this package what stands below it: both ends of the wire share one definition of the wire. What it needs
beyond the client's dependencies is the extra ``hub``.
"""

DEFAULT_PORT = 8443
