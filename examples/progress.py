"""A progress bar that is drawn anew in place, and a line for each stage that is done.

Every line is at most 80 columns wide.
"""

import argparse
import time

STAGES = ("Fetch", "Unpack", "Check", "Index", "Compress", "Upload", "Verify", "Clean up")
CELLS = " ▏▎▍▌▋▊▉█"
WIDTH = 40
REDRAW_S = 0.1


def bar(done: float) -> str:
    """A bar of WIDTH columns, filled to an eighth of a column, from blue to green."""
    eighths = round(done * WIDTH * 8)
    text = "█" * (eighths // 8) + (CELLS[eighths % 8] if eighths % 8 else "")
    cells = (
        f"\x1b[38;2;{60 + at};{140 + 2 * at};{240 - 3 * at}m{cell}" for at, cell in enumerate(text)
    )
    return "".join(cells) + f"\x1b[38;5;238m{'·' * (WIDTH - len(text))}\x1b[0m"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02}"


def run(total_s: float) -> None:
    """Draw until the time is over."""
    start = time.monotonic()
    stage_s = total_s / len(STAGES)
    for number, name in enumerate(STAGES):
        ends = start + (number + 1) * stage_s
        while (now := time.monotonic()) < ends:
            done = (now - start) / total_s
            left = clock(total_s - (now - start))
            line = f"\r\x1b[1m{name:>9}\x1b[0m {bar(done)} {done:>6.1%}  {left:>5} left"
            print(line, end="\x1b[K", flush=True)
            time.sleep(min(REDRAW_S, ends - now))
        print(f"\r{name:>9} \x1b[32m✓\x1b[0m \x1b[38;5;245m{stage_s:.1f} s\x1b[0m\x1b[K")
    print(f"{'All':>9} {bar(1)} {1:>6.1%}  in {clock(total_s)}")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--minutes", type=float, default=3.0)
run(60 * parser.parse_args().minutes)
