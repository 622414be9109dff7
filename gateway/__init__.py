"""HTTP in: authenticates, translates, waits and reads; decides nothing."""
