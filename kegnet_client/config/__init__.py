"""client.conf: the types of its settings, from a text to what it says, and the text as shipped.

Each part of the program declares its own section, in a file of its own room that imports none of the part's
libraries. Who reads the file passes the list of the sections.
"""
