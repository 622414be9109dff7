"""Real processes, killed at the worst moments."""

import pytest

# Their assertions are the tests', so they complain in the same detail.
pytest.register_assert_rewrite("tests.crash.listening", "tests.crash.traffic")
