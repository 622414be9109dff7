"""Real servers and real product processes for the tests."""
