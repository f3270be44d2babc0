"""Measure all cases and write the result that the tests compare with."""

import msgspec

from tests.bench.machine import Watch

from . import cases


def main() -> None:
    """Measure; the file is written at the end, so that a broken run leaves it alone."""
    watch, speed = Watch(), cases.speed()
    found = {name: cases.measure(name) for name in (*cases.SHORT, *cases.LONG)}
    results = cases.Results(machine=watch.machine(), speed=round(speed, 2), cases=found)
    text = msgspec.json.format(msgspec.json.encode(results), indent=1)
    cases.COMMITTED.write_bytes(text + b"\n")


if __name__ == "__main__":
    main()
