"""A search of a log finds what a plain look at each stream's lines finds, whatever the chunks."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from supervisor.log import logindex
from supervisor.log.hits import Finding, Hit, SearchEnd, SearchGap
from supervisor.log.logfile import LogReader, index_path, log_path
from supervisor.log.logindex import NOT_KEPT, Header, Record
from supervisor.log.pattern import Pattern
from supervisor.log.search import Bounds, LogSearch, Wanted
from supervisor.model import Stream

OUT, ERR = Stream.STDOUT, Stream.STDERR
Parts = list[tuple[int, bytes]]


def write(directory: Path, parts: Parts) -> None:
    """A log of these chunks, each of a stream or of none (not kept), a second apart."""
    records, data = b"", b""
    for number, (stream, chunk) in enumerate(parts, 1):
        records += logindex.pack_record(Record(len(data), stream, number * 1_000_000))
        data += chunk if stream != NOT_KEPT else bytes(len(chunk))
    log_path(directory, "r").write_bytes(data)
    index_path(directory, "r").write_bytes(logindex.pack_header(Header()) + records)


def search(
    directory: Path,
    pattern: Pattern,
    wanted: Wanted | None = None,
    *,
    ended: bool = True,
    bounds: Bounds | None = None,
) -> list[Finding]:
    """All that one search tells."""
    with LogReader.open(directory, "r") as reader:
        work = LogSearch(
            reader, pattern.compile(), wanted or Wanted(start=0), ended=ended, bounds=bounds
        )
        return [found for found in work.findings() if found is not None]


def pages(directory: Path, pattern: Pattern, wanted: Wanted, bounds: Bounds) -> list[Finding]:
    """All that is told by one search after the other, each from where the last one stopped."""
    found: list[Finding] = []
    for _ in range(1000):
        *some, end = search(directory, pattern, wanted, bounds=bounds)
        found += some
        assert isinstance(end, SearchEnd)
        if end.complete:
            return found
        wanted = Wanted(
            start=end.next, stream=wanted.stream, limit=wanted.limit, context=wanted.context
        )
    raise AssertionError("it never comes to an end")


class Line(Struct, frozen=True):
    """A line to the reference: whose, its bytes, the offset of each and of the newline after it."""

    stream: int
    data: bytes
    offsets: tuple[int, ...]
    newline: bool


def lines_of(parts: Parts) -> list[Line]:
    """Every line of every stream, in the order of their ends. Byte by byte, to be surely right."""
    found: list[Line] = []
    open_lines: dict[int, list[tuple[int, int]]] = {OUT: [], ERR: []}

    def close(stream: int, *, newline: bool) -> None:
        taken, open_lines[stream] = open_lines[stream], []
        if taken:
            data = bytes(byte for _, byte in taken).removesuffix(b"\n")
            found.append(Line(stream, data, tuple(at for at, _ in taken), newline))

    offset = 0
    for stream, chunk in parts:
        for byte in chunk:
            if stream == NOT_KEPT:
                for each in open_lines:
                    close(each, newline=False)
            else:
                open_lines[stream].append((offset, byte))
            if stream != NOT_KEPT and byte == ord("\n"):
                close(stream, newline=True)
            offset += 1
    for each in open_lines:
        close(each, newline=False)
    return found


def expected(parts: Parts, pattern: Pattern, stream: Stream | None) -> list[tuple[object, ...]]:
    """Stream, line, offset, length and text of every hit, as Python's `re` has it."""
    source = pattern.text if pattern.regex else re.escape(pattern.text)
    flags = re.IGNORECASE if pattern.any_case else 0
    wanted = re.compile(source, flags)
    found: list[tuple[object, ...]] = []
    for line in lines_of(parts):
        text = line.data.decode()
        match = wanted.search(text)
        if match is None or (stream is not None and line.stream != stream):
            continue
        begin = len(text[: match.start()].encode())
        length = len(match[0].encode())
        at = line.offsets[begin] if begin < len(line.offsets) else line.offsets[-1] + 1
        found.append((Stream(line.stream).label, line.offsets[0], at, length, text, match.span()))
    return found


def told(found: list[Finding]) -> list[tuple[object, ...]]:
    return [
        (hit.stream, hit.line, hit.offset, hit.length, hit.text, hit.at)
        for hit in found
        if isinstance(hit, Hit)
    ]


TEXT = st.text(alphabet="ab\nÄ語😀", max_size=12)


@st.composite
def logs(draw: st.DrawFn) -> Parts:
    """Chunks of two streams and gaps; each stream's characters are cut anywhere."""
    texts = {OUT: draw(st.lists(TEXT, max_size=8)), ERR: draw(st.lists(TEXT, max_size=8))}
    rest = {stream: "".join(some).encode() for stream, some in texts.items()}
    parts: Parts = []
    while rest[OUT] or rest[ERR]:
        stream = draw(st.sampled_from([OUT, ERR, OUT, ERR, NOT_KEPT]))
        if stream == NOT_KEPT:
            if all(not data or data[0] & 0xC0 != 0x80 for data in rest.values()):
                parts.append((NOT_KEPT, b"?" * draw(st.integers(1, 5))))
        elif rest[Stream(stream)]:
            count = draw(st.integers(1, 9))
            parts.append((stream, rest[Stream(stream)][:count]))
            rest[Stream(stream)] = rest[Stream(stream)][count:]
    return parts


PATTERNS = st.one_of(
    st.builds(Pattern, st.text("abÄ語", min_size=1, max_size=3), any_case=st.booleans()),
    st.builds(
        functools.partial(Pattern, regex=True),
        st.sampled_from(
            [
                "a+b",
                "^a",
                "a$",
                "[^a]b",
                "Ä.",
                "a.*語",
                "(a|b)+Ä",
                "b{2,}",
                "^.$",
                "😀",
                "a|$",
                "[äb]",
            ]
        ),
        any_case=st.booleans(),
    ),
)


@given(logs(), PATTERNS, st.sampled_from([None, OUT, ERR]), st.integers(1, 64))
def test_it_finds_what_looking_at_every_line_finds(
    parts: Parts, pattern: Pattern, stream: Stream | None, read: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), parts)
        found = search(
            Path(name),
            pattern,
            Wanted(start=0, stream=stream, limit=1000),
            bounds=Bounds(read=read),
        )
    assert told(found) == expected(parts, pattern, stream)
    assert isinstance(found[-1], SearchEnd)
    assert found[-1].complete
    assert found[-1].next == sum(len(chunk) for _, chunk in parts)
    gaps = [gap.to - gap.start for gap in found if isinstance(gap, SearchGap)]
    assert sum(gaps) == sum(len(chunk) for kind, chunk in parts if kind == NOT_KEPT)


@given(logs(), PATTERNS, st.sampled_from([None, OUT, ERR]), st.integers(1, 3), st.booleans())
def test_going_on_from_next_finds_all_and_nothing_twice(
    parts: Parts, pattern: Pattern, stream: Stream | None, limit: int, hurried: bool
) -> None:
    bounds = Bounds(read=7, time_s=0) if hurried else Bounds(read=7)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), parts)
        found = pages(Path(name), pattern, Wanted(start=0, stream=stream, limit=limit), bounds)
    assert told(found) == expected(parts, pattern, stream)


@given(logs(), PATTERNS, st.integers(0, 60))
def test_from_an_offset_on_it_finds_the_lines_that_end_there_or_later(
    parts: Parts, pattern: Pattern, start: int
) -> None:
    size = sum(len(chunk) for _, chunk in parts)
    start = min(start, size)
    lines = [line for line in lines_of(parts) if line.newline]
    early = {line.offsets[0] for line in lines if line.offsets[-1] < start}
    late = {line.offsets[0] for line in lines if line.offsets[-1] >= start}
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), parts)
        found = told(search(Path(name), pattern, Wanted(start=start, limit=1000)))
    every = expected(parts, pattern, None)
    assert not early & {hit[1] for hit in found}
    assert [hit for hit in found if hit[1] in late] == [hit for hit in every if hit[1] in late]


def test_a_hit_has_the_time_at_which_its_line_began(tmp_path: Path) -> None:
    write(tmp_path, [(OUT, b"one\nneed"), (ERR, b"x\n"), (OUT, b"le\nnee"), (OUT, b"dle\n")])
    first, second, _ = search(tmp_path, Pattern("needle"))
    assert isinstance(first, Hit)
    assert isinstance(second, Hit)
    assert (first.time.second, first.line, first.offset) == (1, 4, 4)
    assert (second.time.second, second.line, second.offset) == (3, 13, 13)


def test_context_is_lines_of_the_same_stream(tmp_path: Path) -> None:
    write(
        tmp_path, [(OUT, b"a\nb\n"), (ERR, b"E\n"), (OUT, b"hit\nc\n"), (ERR, b"F\n"), (OUT, b"d")]
    )
    hit, _ = search(tmp_path, Pattern("hit"), Wanted(start=0, context=3))
    assert isinstance(hit, Hit)
    assert (hit.before, hit.after) == (("a", "b"), ("c", "d"))


def test_of_a_long_line_the_part_around_the_match_is_told(tmp_path: Path) -> None:
    write(tmp_path, [(OUT, "語".encode() * 3000 + b"needle" + "語".encode() * 3000 + b"\n")])
    hit, _ = search(tmp_path, Pattern("needle"))
    assert isinstance(hit, Hit)
    assert hit.cut
    assert hit.text[slice(*hit.at)] == "needle"
    assert "\N{REPLACEMENT CHARACTER}" not in hit.text
    assert len(hit.text.encode()) <= Bounds().text + 3
    assert hit.offset == 9000


def test_bytes_that_are_not_utf_8_are_told_as_replaced(tmp_path: Path) -> None:
    write(tmp_path, [(OUT, b"\xff\xc3needle\xe8\xaa\n")])
    hit, _ = search(tmp_path, Pattern("needle"))
    assert isinstance(hit, Hit)
    assert hit.text == "\ufffd\ufffdneedle\ufffd"
    assert hit.at == (2, 8)


def test_a_line_too_long_to_hold_is_searched_in_parts(tmp_path: Path) -> None:
    write(tmp_path, [(OUT, b"x" * 100 + b"needle" + b"y" * 100 + b"\n")])
    bounds = Bounds(read=16, line=32)
    *found, end = search(tmp_path, Pattern(".+", regex=True), bounds=bounds)
    hits = [hit for hit in found if isinstance(hit, Hit)]
    assert "".join(hit.text for hit in hits) == "x" * 100 + "needle" + "y" * 100
    assert all(len(hit.text) <= 32 + 16 and not hit.whole for hit in hits)
    assert isinstance(end, SearchEnd)
    assert end.complete


def test_it_stops_when_it_has_read_enough(tmp_path: Path) -> None:
    write(tmp_path, [(OUT, b"0123456\n" * 10)])
    (end,) = search(tmp_path, Pattern("x"), bounds=Bounds(read=8, total=20))
    assert isinstance(end, SearchEnd)
    assert (end.stopped, end.next, end.complete) == ("size", 24, False)


def test_a_log_of_many_chunks_is_searched_to_its_end_with_the_right_times(tmp_path: Path) -> None:
    """More chunks than are looked up at once, of one stream and then of two."""
    write(
        tmp_path, [(OUT if n < 9000 else Stream(n % 2 + 1), b"%05d\n" % n) for n in range(10_000)]
    )
    *found, end = search(tmp_path, Pattern("99"), Wanted(start=0, limit=1000))
    hits = [hit for hit in found if isinstance(hit, Hit)]
    wanted = [n for n in range(10_000) if "99" in f"{n:05d}"]
    assert [int(hit.text) for hit in hits] == wanted
    assert [hit.line for hit in hits] == [6 * n for n in wanted]
    assert [int(hit.time.timestamp()) for hit in hits] == [n + 1 for n in wanted]
    assert isinstance(end, SearchEnd)
    assert end.complete
