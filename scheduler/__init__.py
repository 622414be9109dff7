"""The rules, and what every process shares: decision core, ledger, directory, bus, settings."""
