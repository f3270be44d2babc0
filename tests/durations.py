"""What the cases of a gate run cost, and the page that says it: `docs/testing.md`.

`python -m tests.durations` writes the page from what the last whole run of the gate has left.
"""

import json
import resource
import sys
from collections import defaultdict
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.services.warm import Forked

FOLDER: Final = Path("build", "gate")
PAGE: Final = Path("docs", "testing.md")
LONG_S: Final = 20.0  # a case of the gate takes no longer, except the few on the list of `tidy`
HEADING: Final = f"## Cases over {LONG_S:.0f} seconds"
CPU: Final = "cpu_s"  # the name of the figure in a report
BEGIN: Final = "<!-- what follows is written by `make durations` -->"


class Ran(msgspec.Struct):
    """What one call of pytest has left."""

    took_s: dict[str, float]  # each case, with what it sets up
    failed: list[str]
    cpu_s: dict[str, float] = {}  # each case, with the processes that ended during it


class Costs:
    """A plugin of pytest that notes in each report the seconds of CPU since the report before."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def pytest_collection_finish(self) -> None:
        self._last_s = _used_s()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        used_s = _used_s()
        report.user_properties.append((CPU, used_s - self._last_s))
        self._last_s = used_s
        return report


class Durations:
    """A plugin of pytest that writes a `Ran` when all is over."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)
        self._took_s: defaultdict[str, float] = defaultdict(float)
        self._cpu_s: defaultdict[str, float] = defaultdict(float)
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = report.nodeid.partition("@")[0]  # after it xdist names the group
        self._took_s[case] += report.duration
        for name, value in report.user_properties:
            if name == CPU:
                self._cpu_s[case] += float(str(value))
        if report.failed:
            self._failed.add(case)

    def pytest_sessionfinish(self) -> None:
        ran = {
            "took_s": _rounded(self._took_s),
            "failed": sorted(self._failed),
            "cpu_s": _rounded(self._cpu_s),
        }
        self._file.write_text(json.dumps(ran))


def _used_s() -> float:
    """Return the seconds of CPU of this process, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) + Forked.used_s


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {case: round(took, 2) for case, took in sorted(seconds.items())}


def read(file: Path) -> Ran:
    """Return what a call of pytest has left; nothing where it left nothing."""
    if not file.exists():
        return Ran({}, [])
    return msgspec.json.decode(file.read_bytes(), type=Ran)


def page(before: str, together: Ran, alone: Ran) -> str:
    """Return the page with new tables below its own text."""
    lines = [before.partition(BEGIN)[0] + BEGIN, ""]
    lines += ["|suite|cases|seconds side by side|seconds alone|seconds of CPU|longest case, s|"]
    lines += ["|---|---|---|---|---|---|"]
    cpu_s = {**together.cpu_s, **alone.cpu_s}
    all_s = {**together.took_s, **alone.took_s}
    for suite in sorted({_suite(case) for case in all_s}):
        beside, apart, cpu = (_of(suite, one) for one in (together.took_s, alone.took_s, cpu_s))
        lines.append(
            f"|`{suite}`|{len(beside) + len(apart)}|{sum(beside):.0f}|{sum(apart):.0f}|"
            f"{sum(cpu):.0f}|{max(beside + apart):.1f}|"
        )
    lines += ["", HEADING, ""]
    long = {case: took for case, took in all_s.items() if took > LONG_S}
    lines += [f"- {took:.0f} s: `{case}`" for case, took in sorted(long.items(), key=_longest)]
    return "\n".join(lines or ["None."]) + "\n"


def named_as_long(text: str) -> list[str]:
    """Return the cases that the page lists as long."""
    _, _, listed = text.partition(HEADING)
    return [line.split("`")[1] for line in listed.splitlines() if line.startswith("- ")]


def _suite(case: str) -> str:
    """Return the folder of a case: of `integration`, `contract` the one below as well."""
    parts = Path(case.partition("::")[0]).parent.parts
    deep = 3 if parts[1:2] in (("integration",), ("contract",)) else 2
    return "/".join(parts[:deep])


def _of(suite: str, seconds: Mapping[str, float]) -> list[float]:
    return [one for case, one in seconds.items() if _suite(case) == suite]


def _longest(one: tuple[str, float]) -> tuple[float, str]:
    return -one[1], one[0]


def main() -> int:
    """Write the page."""
    together, sites, alone = (
        read(FOLDER / f"{name}.json") for name in ("together", "sites", "alone")
    )
    alone = Ran({**sites.took_s, **alone.took_s}, [], {**sites.cpu_s, **alone.cpu_s})
    if not together.took_s or not alone.took_s:
        print(f"{FOLDER} has no whole run of the gate: run `make test` first", file=sys.stderr)
        return 1
    PAGE.write_text(page(PAGE.read_text(), together, alone))
    return 0


if __name__ == "__main__":
    sys.exit(main())
