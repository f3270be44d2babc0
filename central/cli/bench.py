"""`pilotage bench`: the benchmarks of a checkout, in `tests/bench`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import pilotage

from .exit_codes import UsageError
from .extras import check_central


def bench(
    name: Annotated[str, Parameter(help="Which one, or all.")],
    /,
    *more: Annotated[str, Parameter(help="Further ones, one after another.")],
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    against: Annotated[str, Parameter(help="Run this peer in the same run: hyperqueue.")] = "",
    write: Annotated[Path | None, Parameter(help="Write the result to this file.")] = None,
    store: Annotated[
        str, Parameter(help="Keep jobs there: postgresql (one is started), or a postgresql://…")
    ] = "",
) -> int:
    """Measure and compare with the goals; exit code 1 when one is missed.

    Benchmarks are part of a checkout, not of the wheel.
    """
    if not (Path(pilotage.__file__).resolve().parents[1] / "tests" / "bench").is_dir():
        raise UsageError("benchmarks run from a checkout: clone pilotage, then `make bench`")
    check_central("bench")

    from tests.bench import main

    return main((name, *more), json=json, against=against, write=write, store=store)
