"""How it runs: start and test scripts, the simulated node, benchmarks."""
