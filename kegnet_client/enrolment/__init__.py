"""How a device gets its uuid, its key and its place at a hub."""
