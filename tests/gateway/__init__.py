"""Tests of the gateway against the real bus, ledger, placement worker and simulated nodes."""
