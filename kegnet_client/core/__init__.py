"""The pure core: what a record is, what goes over the wire, what an answer means.

No I/O, no clock, no logging, no threads; a test allows only a short list of imports in here.
"""
