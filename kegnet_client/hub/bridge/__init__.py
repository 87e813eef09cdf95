"""The bridge: BrewPi controllers are asked in turns of their own, and what they say is published at the hub.

It is a client of the hub, of whose database, keys and web framework it has nothing; a token that may operate is enough.
Whatever a controller does harms neither the other ones nor the hub. Limit: a controller is whoever answers at the
socket that its entry names, which anybody may write whose token may operate; only what parses as a BrewPi's answer
is passed on.
"""
