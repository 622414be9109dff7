"""The benchmarks run and say what they measured; what they measure is not a test."""
