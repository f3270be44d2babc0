"""Figures for people: a table on the terminal, and the page of results."""

import textwrap
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .figures import Figure, Report

BEGIN, END = "<!-- begin {} -->", "<!-- end {} -->"


def as_table(report: Report) -> None:
    """Print one report."""
    table = Table(title=f"{report.title}: {report.work}", title_justify="left", min_width=60)
    for column in ("figure", "value", "unit", "goal", ""):
        table.add_column(column, justify="right" if column == "value" else "left")
    for one in report.figures:
        table.add_row(one.name, f"{one.value:,.10g}", one.unit, one.goal, _mark(one))
    console = Console(highlight=False)
    console.print(table)
    console.print(_machine(report), markup=False)


def into_page(page: Path, reports: list[Report]) -> None:
    """Put the reports into their places of a Markdown page; places that it lacks are appended."""
    text = page.read_text(encoding="utf-8") if page.is_file() else "# Performance\n"
    for report in reports:
        begin, end = BEGIN.format(report.section), END.format(report.section)
        section = f"{begin}\n{_section(report)}{end}"
        if begin in text and end in text:
            head, _, rest = text.partition(begin)
            text = head + section + rest.partition(end)[2]
        else:
            text = text.rstrip("\n") + f"\n\n{section}\n"
    page.write_text(text, encoding="utf-8")


def _section(report: Report) -> str:
    """Return a section with the figures that have a goal; the terminal shows all of them."""
    is_plain = report.command == f"pilotage bench {report.title}"
    command = [] if is_plain else [f"    {report.command}", ""]
    lines = [
        f"## {report.title}",
        "",
        *command,
        _wrapped(report.work),
        "",
        "|figure|goal|measured|",
        "|---|---|---:|",
    ]
    for one in report.figures:
        if one.goal:
            missed = " (missed)" if one.met is False else ""
            goal = one.goal.replace(" ", "")
            lines.append(f"|{one.name}|{goal}|{one.value:,.10g} {one.unit}{missed}|")
    bound = ["", _wrapped(report.bound)] if report.bound else []
    return "\n".join([*lines, *bound, "", _wrapped(_machine(report, short=True)), ""])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _mark(one: Figure) -> str:
    return {True: "yes", False: "no", None: ""}[one.met]


def _machine(report: Report, *, short: bool = False) -> str:
    machine = report.machine
    others = "" if machine.quiet else f"; other processes used {machine.foreign_cpu:.0%}"
    store = report.store or f"SQLite {machine.sqlite}"
    where = f"{machine.cpu}, Python {machine.python}, {store}"
    if short:
        return f"{where}{others}."
    return f"{machine.cores} cores, {where}, fdatasync {machine.fdatasync_ms:.2g} ms{others}."
