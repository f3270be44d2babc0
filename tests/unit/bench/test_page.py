"""The page of results: a section for each bench, with the figures that have a goal."""

from pathlib import Path

from tests.bench.figures import Figure, Report
from tests.bench.machine import Machine
from tests.bench.render import into_page

MACHINE = Machine(
    cpu="abacus",
    cores=2,
    memory_gb=24,
    python="3.11.7",
    sqlite="3.46.1",
    kernel="6.1",
    fdatasync_ms=0.103,
    foreign_cpu=0.0,
    quiet=True,
)


def _report(bench: str, value: float, *, met: bool = True) -> Report:
    figures = [
        Figure(name="rate", value=value, unit="jobs/s", goal="≥ 2,000", met=met),
        Figure(name="aside", value=1.0, unit="MB"),
    ]
    return Report(bench=bench, machine=MACHINE, work="It counts beads.", figures=figures)


def test_a_section_has_the_figures_with_a_goal(tmp_path: Path) -> None:
    page = tmp_path / "page.md"

    into_page(page, [_report("noop", 2_500.0), _report("soak", 1_999.0, met=False)])

    text = page.read_text(encoding="utf-8")
    assert "|rate|≥2,000|2,500 jobs/s|" in text
    assert "|rate|≥2,000|1,999 jobs/s (missed)|" in text
    assert "aside" not in text
    assert "pilotage bench noop" not in text  # its title says it
    assert "    make soak\n" in text


def test_a_new_run_replaces_its_section_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    into_page(page, [_report("noop", 2_500.0), _report("day", 3_000.0)])

    into_page(page, [_report("noop", 2_600.0)])

    text = page.read_text(encoding="utf-8")
    assert "2,600 jobs/s" in text
    assert "2,500 jobs/s" not in text
    assert "3,000 jobs/s" in text
