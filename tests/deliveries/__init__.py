"""The tests of relay, deliveries and the guarded client."""
