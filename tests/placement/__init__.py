"""The placement worker on the real bus, ledger and simulated nodes."""
