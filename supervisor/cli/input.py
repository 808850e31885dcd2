"""The command that types for somebody: input."""

from __future__ import annotations

import os
import sys

import click

from supervisor.cli.options import run_argument, server_options
from supervisor.client.address import Address
from supervisor.client.api import Client

_PIECE_BYTES = 64 * 1024


@click.command("input")
@server_options
@click.option("--eof", is_flag=True, help="Close the run's input behind it.")
@run_argument
@click.argument("text", required=False)
def input_(address: Address, run_id: str, text: str | None, *, eof: bool) -> None:
    """Send a run a line of TEXT to read, or all of this command's stdin.

    It takes a run with stdin = "open", or on a terminal, and waits for one that reads slowly.
    """
    client = Client(address)
    if text is not None:
        _send(client, run_id, os.fsencode(text) + b"\n")
    elif not eof or not sys.stdin.isatty():
        while piece := os.read(0, _PIECE_BYTES):
            _send(client, run_id, piece)
    if eof:
        while not client.input(run_id, b"", eof=True).value.eof:
            pass


def _send(client: Client, run_id: str, data: bytes) -> None:
    while data:
        data = data[client.input(run_id, data).value.taken :]
