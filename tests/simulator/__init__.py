"""The simulated node against the wire contract."""
