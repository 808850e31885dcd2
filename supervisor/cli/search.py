"""The command that looks for something in a log: search."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec
from msgspec import structs

from supervisor.cli.colour import wants_colour
from supervisor.cli.exitcodes import ExitCode
from supervisor.cli.options import json_option, run_argument, server_options
from supervisor.cli.output import say, say_on_terminal, write_all
from supervisor.client.address import Address
from supervisor.client.api import Client, SearchWish
from supervisor.log.hits import Finding, Hit, SearchEnd, SearchGap

_MOST_AT_ONCE = 1000


@click.command()
@server_options
@json_option
@click.option("-E", "--regex", is_flag=True, help="TEXT is a regular expression of RE2.")
@click.option("-i", "--ignore-case", is_flag=True, help="Upper and lower case are the same.")
@click.option(
    "-C",
    "--context",
    type=click.IntRange(0, 10),
    default=0,
    metavar="LINES",
    help="So many lines before and after, up to 10.",
)
@click.option("-b", "--byte-offset", is_flag=True, help="Print where in the log each line begins.")
@click.option(
    "-m",
    "--limit",
    type=click.IntRange(min=1),
    metavar="HITS",
    help="Stop after so many lines with a match.",
)
@click.option(
    "--from", "start", type=int, metavar="OFFSET", help="Begin at the line with this byte."
)
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only in this stream.")
@run_argument
@click.argument("text")
def search(  # noqa: PLR0913 - one for each option
    address: Address,
    run_id: str,
    text: str,
    *,
    as_json: bool,
    regex: bool,
    ignore_case: bool,
    context: int,
    byte_offset: bool,
    limit: int | None,
    start: int | None,
    stream: str | None,
) -> None:
    """Print the lines of a run's log that have TEXT in them; exit with 1 if there are none."""
    wish = SearchWish(
        text=text,
        regex=regex,
        any_case=ignore_case,
        stream=stream,
        context=context,
        start=start,
    )
    page = _Page(offsets=byte_offset, context=context)
    end = None
    for line, found in _pages(Client(address), run_id, wish, limit):
        if isinstance(found, SearchEnd):
            end = found
        if as_json:
            write_all(1, line)
        elif isinstance(found, Hit):
            write_all(1, page.show(found).encode("utf-8", "surrogateescape"))
        elif isinstance(found, SearchGap):
            many = f"{found.to - found.start} bytes from offset {found.start}"
            say(f"{many} are not kept and were not searched")
    if end is not None and not end.complete and not as_json:
        say_on_terminal(f"there may be more: --from {end.next} goes on")
    if end is None or not end.hits:
        raise click.exceptions.Exit(ExitCode.UNFIT)


def _pages(
    client: Client, run_id: str, wish: SearchWish, limit: int | None
) -> Iterator[tuple[bytes, Finding]]:
    """One search after the other until all was searched or `limit` hits are found; one end, of all.

    A server bounds each search in hits and time, and says where to go on.
    """
    hits = searched = 0
    while True:
        most = _MOST_AT_ONCE if limit is None else min(_MOST_AT_ONCE, limit - hits)
        for line, found in client.search(run_id, structs.replace(wish, limit=most)):
            if not isinstance(found, SearchEnd):
                yield line, found
                continue
            hits += found.hits
            searched += found.searched
            if found.complete or hits == limit:
                end = structs.replace(found, hits=hits, searched=searched)
                yield msgspec.json.encode(end) + b"\n", end
                return
            wish = structs.replace(wish, start=found.next)


class _Page:
    """How hits look: like those of grep(1)."""

    def __init__(self, *, offsets: bool, context: int) -> None:
        """Nothing is shown yet."""
        self._offsets = offsets
        self._context = context
        self._colours = wants_colour()
        self._first = True

    def show(self, hit: Hit) -> str:
        """The line, in its context."""
        begin, end = hit.at
        match = self._painted(hit.text[begin:end], "red", bold=True)
        lines = [f"{hit.text[:begin]}{match}{hit.text[end:]}"]
        if self._offsets:
            lines = [self._painted(str(hit.line), "green") + self._painted(":", "cyan") + lines[0]]
        mark = self._painted("-", "cyan") if self._offsets else ""
        lines = [*(mark + it for it in hit.before), *lines, *(mark + it for it in hit.after)]
        if self._context and not self._first:
            lines.insert(0, self._painted("--", "cyan"))
        self._first = False
        return "\n".join(lines) + "\n"

    def _painted(self, text: str, colour: str, *, bold: bool = False) -> str:
        return click.style(text, fg=colour, bold=bold or None) if self._colours and text else text
