"""`python -m scheduler.cli` is `seatkeep`."""

from scheduler.cli.root import main

main()
