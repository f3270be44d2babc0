"""`pilotage bench`: the benchmarks of a checkout, in `tests/bench`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import pilotage

from .exit_codes import UsageError
from .extras import check_central


def bench(
    name: Annotated[str, Parameter(help="Benchmark to run, or `all`.")],
    /,
    *more: Annotated[str, Parameter(help="More benchmarks, one after another.")],
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    against: Annotated[str, Parameter(help="Also run this peer: hyperqueue.")] = "",
    write: Annotated[Path | None, Parameter(help="Write the result to this file.")] = None,
    store: Annotated[
        str, Parameter(help="Store for the jobs: postgresql (starts one), or a postgresql://… URL.")
    ] = "",
) -> int:
    """Run benchmarks, and compare the results with the goals.

    The exit code is 1 if a goal is missed. Benchmarks need a checkout; the wheel has none.
    """
    if not (Path(pilotage.__file__).resolve().parents[1] / "tests" / "bench").is_dir():
        raise UsageError("benchmarks run from a checkout: clone pilotage, then `make bench`")
    check_central("bench")

    from tests.bench import main

    return main((name, *more), json=json, against=against, write=write, store=store)
