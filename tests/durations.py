"""How long the cases of a gate run took, and the page that says it: `docs/testing.md`.

`python -m tests.durations` writes the page from what the last whole run of the gate has left.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
import pytest

FOLDER: Final = Path("build", "gate")
PAGE: Final = Path("docs", "testing.md")
LONG_S: Final = 20.0  # a case of the gate takes no longer, except the few on the list of `tidy`
HEADING: Final = f"## Cases over {LONG_S:.0f} seconds"
BEGIN: Final = "<!-- what follows is written by `make durations` -->"


class Ran(msgspec.Struct):
    """What one call of pytest has left."""

    took_s: dict[str, float]  # each case, with what it sets up
    failed: list[str]


class Durations:
    """A plugin of pytest that writes a `Ran` when all is over."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)
        self._took_s: defaultdict[str, float] = defaultdict(float)
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = report.nodeid.partition("@")[0]  # after it xdist names the group
        self._took_s[case] += report.duration
        if report.failed:
            self._failed.add(case)

    def pytest_sessionfinish(self) -> None:
        took_s = {case: round(took, 2) for case, took in sorted(self._took_s.items())}
        self._file.write_text(json.dumps({"took_s": took_s, "failed": sorted(self._failed)}))


def read(file: Path) -> Ran:
    """Return what a call of pytest has left; nothing where it left nothing."""
    if not file.exists():
        return Ran({}, [])
    return msgspec.json.decode(file.read_bytes(), type=Ran)


def page(before: str, together: Mapping[str, float], alone: Mapping[str, float]) -> str:
    """Return the page with new tables below its own text."""
    lines = [before.partition(BEGIN)[0] + BEGIN, ""]
    lines += ["| suite | cases | seconds side by side | seconds alone | longest case, s |"]
    lines += ["|---|---|---|---|---|"]
    suites = sorted({_suite(case) for case in (*together, *alone)})
    for suite in suites:
        beside = [took for case, took in together.items() if _suite(case) == suite]
        apart = [took for case, took in alone.items() if _suite(case) == suite]
        longest = max(beside + apart)
        lines.append(
            f"| `{suite}` | {len(beside) + len(apart)} | {_sum(beside)} | {_sum(apart)} | "
            f"{longest:.1f} |"
        )
    lines += ["", HEADING, ""]
    long = {case: took for case, took in {**together, **alone}.items() if took > LONG_S}
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


def _sum(took: Iterable[float]) -> str:
    return f"{sum(took):.0f}"


def _longest(one: tuple[str, float]) -> tuple[float, str]:
    return -one[1], one[0]


def main() -> int:
    """Write the page."""
    together, alone = (read(FOLDER / f"{name}.json").took_s for name in ("together", "alone"))
    if not together or not alone:
        print(f"{FOLDER} has no whole run of the gate: run `make test` first", file=sys.stderr)
        return 1
    PAGE.write_text(page(PAGE.read_text(), together, alone))
    return 0


if __name__ == "__main__":
    sys.exit(main())
