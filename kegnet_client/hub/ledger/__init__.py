"""The ledger: all that devices signed and people said, in one file that needs nothing else of the hub to be proven."""
