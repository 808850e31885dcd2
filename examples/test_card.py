"""A test card for terminals: colours, styles and Unicode on stdout, and log lines on both streams.

Every line is at most 80 columns wide.
"""

import colorsys
import sys
import time

WIDTH = 80
RESET = "\x1b[0m"


def rgb(hue: float, value: float = 0.9, saturation: float = 0.65) -> str:
    """Red, green and blue of a hue between 0 and 1, as SGR parameters have them."""
    return ";".join(str(round(255 * part)) for part in colorsys.hsv_to_rgb(hue, saturation, value))


def banner(text: str) -> None:
    """The text in the middle of a rainbow."""
    for line in ("", text, ""):
        cells = enumerate(line.center(WIDTH))
        colours = (f"\x1b[1;38;2;20;20;30;48;2;{rgb(at / WIDTH)}m{cell}" for at, cell in cells)
        print("".join(colours) + RESET)


def heading(text: str) -> None:
    """A line with its name."""
    print(f"\n\x1b[1m{text}\x1b[0m \x1b[38;5;245m{'─' * (WIDTH - len(text) - 1)}{RESET}")


def styles() -> None:
    """Every style that terminals commonly have."""
    names = {
        "1": "bold",
        "2": "dim",
        "3": "italic",
        "4": "underline",
        "7": "reverse",
        "9": "strike",
    }
    print("  " + "  ".join(f"\x1b[{code}m {name} {RESET}" for code, name in names.items()))


def palettes() -> None:
    """16 colours, the 256-colour cube and its greys, and all the colours there are."""
    print("  " + "".join(f"\x1b[{base + n}m    {RESET}" for base in (40, 100) for n in range(8)))
    for row in range(6):
        cells = (
            f"\x1b[48;5;{16 + 36 * part + 6 * row + n}m  " for part in range(6) for n in range(6)
        )
        print("  " + "".join(cells) + RESET)
    print("  " + "".join(f"\x1b[48;5;{232 + n}m   " for n in range(24)) + RESET)
    for value in (1.0, 0.75, 0.5):
        print("  " + "".join(f"\x1b[48;2;{rgb(n / 72, value)}m " for n in range(72)) + RESET)


def unicode() -> None:
    """Text that is more than one byte, or two columns, a character."""
    print("  ┌──────────┬──────────┐   Grüße, señor · Ελλάδα · Привет")
    print("  │ ▁▂▃▄▅▆▇█ │ ░░▒▒▓▓██ │   日本語 · 中文 · 한국어 (two columns each)")
    print("  └──────────┴──────────┘   ✓ ✗ → ⇒ ≤ ≠ ∑ √ ∞ · 🙂 🚀 🌍")


def log() -> None:
    """Lines as a service writes them: what it does on stdout, what worries it on stderr."""
    script = [
        (sys.stdout, 32, "info ", "opening the connection to the warehouse"),
        (sys.stdout, 32, "info ", "4 of 4 shards answered in 12 ms"),
        (sys.stderr, 33, "warn ", "shard 3 is 2 minutes behind, reading from its replica"),
        (sys.stdout, 32, "info ", "12,480 orders read, 12,480 written"),
        (sys.stderr, 31, "error", "order 8812 has no address, put aside"),
        (sys.stdout, 36, "done ", "1 order put aside, all others delivered"),
    ]
    for stream, colour, level, message in script:
        now = time.strftime("%H:%M:%S")
        name = "stdout" if stream is sys.stdout else "stderr"
        place = f"\x1b[38;5;245m{now} {name}{RESET}"
        print(f"  {place} \x1b[{colour};1m{level}{RESET} {message}", file=stream, flush=True)
        time.sleep(0.4)


banner("RUNWIRE TEST CARD")
heading("styles")
styles()
heading("16, 256 and all colours")
palettes()
heading("Unicode")
unicode()
heading("two streams")
log()
