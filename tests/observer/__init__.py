"""The tests of the node client, the observer and the timers."""
