"""An import that meets an order it cannot read and fails, with a traceback and exit code 1."""

import time

ORDERS = """\
7001  Ada     3 x 4.50
7002  Grace   1 x 12.00
7003  Edsger  2 x 7.25
7004  Barbara five x 3.10
7005  Donald  1 x 99.00
"""


class OrderError(Exception):
    """An order that cannot be read."""


def amount(text: str) -> float:
    """What an order costs, from its number of pieces and its price."""
    pieces, price = text.split(" x ")
    return int(pieces) * float(price)


def read(line: str) -> tuple[str, float]:
    """Who ordered, and for how much."""
    number, name, rest = line.split(maxsplit=2)
    try:
        return name, amount(rest)
    except ValueError as error:
        message = f"order {number} cannot be read: {rest!r}"
        raise OrderError(message) from error


total = 0.0
for order in ORDERS.splitlines():
    name, cost = read(order)
    total += cost
    print(f"\x1b[32m✓\x1b[0m {name:<8} {cost:>8.2f}   \x1b[38;5;245mso far {total:.2f}\x1b[0m")
    time.sleep(0.5)
