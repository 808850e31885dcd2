"""`./dev bench [NAME [arguments]]`: one benchmark of this directory, or all of them in turn.

Without a name, `--quick` goes to all of them.
"""

import pkgutil
import runpy
import sys

import bench

NAMES = [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name[0] != "_"]


def run(name: str, arguments: list[str]) -> None:
    """Run one benchmark as `python -m bench.NAME arguments` would."""
    sys.argv = [name, *arguments]
    runpy.run_module(f"bench.{name}", run_name="__main__")


def main(arguments: list[str]) -> None:
    """Run what is asked for; arguments after a name go to that benchmark."""
    if arguments in ([], ["--quick"]):
        for name in NAMES:
            print(f"# {name}\n", flush=True)
            run(name, arguments)
    elif arguments[0] in NAMES:
        run(arguments[0], arguments[1:])
    else:
        sys.exit(f"bench: there is no {arguments[0]!r}; there are: {', '.join(NAMES)}")


main(sys.argv[1:])
