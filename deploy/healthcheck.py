"""Whether the process of a container serves: exit code 0 or 1, for Docker's HEALTHCHECK.

Owns one request to `/healthz`: on `SEATKEEP_METRICS_PORT` where that is set (workers), else on the
gateway's own port. Imports nothing of the product, because it runs every few seconds.
"""

import os
import sys
import urllib.request

TIMEOUT_S = 3


def address() -> str:
    """Return the address to ask."""
    environment = os.environ
    if environment.get("SEATKEEP_METRICS_PORT", "0") != "0":
        host = environment.get("SEATKEEP_METRICS_HOST", "127.0.0.1")
        port = environment["SEATKEEP_METRICS_PORT"]
    else:
        host = environment.get("SEATKEEP_HOST", "127.0.0.1")
        port = environment.get("SEATKEEP_PORT", "8090")
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/healthz"


def main() -> int:
    """Ask, and return the exit code."""
    # No proxy of the environment: the process is in this container.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address(), timeout=TIMEOUT_S) as answer:
            return 0 if answer.status == 200 else 1  # noqa: PLR2004
    except (OSError, ValueError) as error:
        sys.stderr.write(f"not healthy: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
