"""The hub's arithmetic, pure: what follows from records and from what people say of taps, kegs and meters."""
