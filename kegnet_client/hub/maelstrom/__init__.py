"""Maelstrom's names for what the hub knows: a client that was written for that brewing server works with this one.

Its websocket, its publish call and its REST calls, over the same entries and events as ``/api``. Where its server did
harm, this one does not: subscribing twice delivers once, creation answers with the id, a dead subscriber harms nobody.
Numbers are taken as strings and answered as numbers, what is missing keeps its value, what is unknown is ignored.
"""
