"""`python -m supervisor` is `runwire`."""

from supervisor.cli.main import main

main()
