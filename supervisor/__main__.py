"""`python -m supervisor` is `runwire`."""

from supervisor.cli import main

main()
