"""The command `runwire`."""

import click


@click.group()
@click.version_option(package_name="runwire")
def main() -> None:
    """Run jobs and follow them live."""
