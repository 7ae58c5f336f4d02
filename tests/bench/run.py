"""Runs benchmarks one after the other: `python tests/bench/run.py [NAME…]`; without a name, all but the long ones.

Each prints its table and puts it into docs/results.md.
"""

import asyncio
import importlib
import sys

QUICK = ("token_path", "audio", "connections", "resume", "cancel", "blobs", "stage", "memory", "leases")
LONG = ("targets", "proxies", "engine", "switching", "going_on", "soak")


def main(names: list[str]) -> int:
    """The exit status."""
    unknown = set(names) - {*QUICK, *LONG}
    if unknown:
        print(
            f"There is no benchmark {', '.join(sorted(unknown))}. There are: {', '.join(QUICK + LONG)}.",
            file=sys.stderr,
        )
        return 2
    for name in names or QUICK:
        print(f"-- {name}", flush=True)
        asyncio.run(importlib.import_module(name).main())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
