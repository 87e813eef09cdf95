"""What goes over the wire, one protocol a module, both directions, both ends. Pure."""
