"""A real program that understands the steps of `supervisor.testing.fake`: one an argument."""

import os
import random
import signal
import sys
import time

STREAMS = {"stdout": 1, "stderr": 2}


def write(stream: str, data: bytes) -> None:
    """All of `data`, unbuffered."""
    while data:
        data = data[os.write(STREAMS[stream], data) :]


def leave(seconds: float, how: str) -> None:
    """Leave a child behind that holds the output, settled before this returns."""
    settled, settle = os.pipe()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if how == "escape":
            os.setsid()
        elif how == "regroup":
            os.setpgid(0, 0)
        os.close(settled)
        os.close(settle)
        time.sleep(seconds)
        os._exit(0)
    os.close(settle)
    os.read(settled, 1)
    os.close(settled)


def take(step: str) -> None:  # noqa: C901 - one line a step
    """Carry one step out."""
    verb, _, rest = step.partition(" ")
    match verb:
        case "write":
            stream, _, text = rest.partition(" ")
            write(stream, os.fsencode(text))
        case "noise":
            stream, size, seed = rest.split()
            write(stream, random.Random(int(seed)).randbytes(int(size)))
        case "mark":
            with open(rest, "a") as file:  # noqa: PTH123 - it starts faster without pathlib
                file.write("x")
        case "wait":
            time.sleep(float(rest))
        case "await":
            while not os.path.exists(rest):  # noqa: PTH110 - as above
                time.sleep(0.005)
        case "ignore":
            signal.signal(signal.Signals[f"SIG{rest}"], signal.SIG_IGN)
        case "leave" | "regroup" | "escape":
            leave(float(rest), verb)
        case "exit":
            os._exit(int(rest))
        case "die":
            os.kill(os.getpid(), signal.Signals[f"SIG{rest}"])
        case _:
            raise ValueError(step)


for argument in sys.argv[1:]:
    take(argument)
