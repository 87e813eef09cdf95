"""The whole way on one machine: a tap and a thermometer that are simulated, a daemon and a hub that are not."""
