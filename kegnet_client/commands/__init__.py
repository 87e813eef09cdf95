"""One module a command of ``kegnet-client``."""
