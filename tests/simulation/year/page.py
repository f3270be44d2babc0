"""docs/campaign.md and its picture, written from a campaign that was played."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final
from xml.sax.saxutils import escape

from .campaign import AWAY, DAY_S, SLOTS, Plan, Year
from .troubles import BAD_EXIT, BUS_AWAY, STORAGES, STORAGES_AWAY

WIDTH, HEIGHT, LEFT, TOP, LOW = 960, 420, 64, 50, 370
COLOURS: Final = ("#1b6ca8", "#edae49", "#3b8b5a", "#7a5195")
INK, FAINT = "#222222", "#d8d8d8"
COLUMNS: Final = 365  # of the picture
PICTURE: Final = "campaign.svg"
COMMAND: Final = ".venv/bin/python -m tests.simulation.year --write docs/campaign.md"


def page(plan: Plan, year: Year) -> str:
    """Return the page."""
    days = year.ended_s / DAY_S
    busy = [sum(sites.values()) for at, sites in year.running if at <= 365 * DAY_S]
    command = f"{COMMAND} {options}" if (options := _options(plan)) else COMMAND
    return f"""<!-- Written by `{command}`: change tests/simulation/year, not this page. -->

# A campaign of prod6

See how pilotage works through a campaign of its intended size, in virtual time:

- the shipped central with its SQL, behind its HTTP application and a message bus with logins
- `examples/prod6/prod6.yaml` every {plan.every_s / DAY_S:.0f} days, with
  `allow_partial: {plan.allowed:.0%}`; nobody steers it
- simulated pilots that speak the protocol; their jobs only take time

There are no sockets. An hour lasts a second, also for leases and rules. So the campaign shows that
the work completes, not how fast a loss is noticed.

`make long` plays {Plan().productions} productions. **All figures here are of this run**:

```sh
{command}  # {year.real_s / 60:.0f} minutes
```

|what|how much|
|---|---:|
|productions, all completed|{plan.productions}|
|jobs|{year.jobs:,}|
|attempts|{year.attempts:,}|
|files|{year.files:,}|
|bytes counted|{year.bytes / 1e15:.2f} PB|
|slots at four sites|{sum(SLOTS.values()) * plan.part:,.0f}|
|mean of running jobs|{sum(busy) / len(busy):,.0f}|
|pilots|{year.pilots:,}|
|days|{days:.1f}|
|HTTP requests|{year.requests:,}|
|bus messages|{year.messages:,}|

One in a hundred attempts crashes, one in a hundred pilots dies silently, and one in a hundred bus
messages is lost. Outputs go to `{STORAGES[0]}`, else to `{STORAGES[1]}`. These were away:

{_spans(days)}

A share of {plan.bad:g} of the events' files is bad: their readers exit with {BAD_EXIT}. One more
node is a black hole: all its jobs fail within 15 minutes.

|what came of it|how much|
|---|---:|
|bad files that steps had as inputs|{year.bad_read:,}|
|those found (Problematic)|{year.bad_read - year.bad_left:,}|
|good files that are Problematic|{year.innocent:,}|
|Failed jobs|{year.failed_jobs:,}|
|outputs on the second storage|{year.seen.get("fell back", 0):,}|
|attempts whose outputs no storage took|{year.seen.get("not stored", 0):,}|
|attempts without their inputs|{year.seen.get("not fetched", 0):,}|
|attempts lost to the black hole|{year.hole_failed:,}|
|of these after its first day|{year.hole_after:,}|

![Running jobs by site]({PICTURE})
"""


def _options(plan: Plan) -> str:
    usual = Plan()
    names = ("productions", "runs", "part", "bad", "allowed", "seed")
    said = [(name, getattr(plan, name)) for name in names]
    return " ".join(f"--{name} {value}" for name, value in said if value != getattr(usual, name))


def _spans(days: float) -> str:
    """Return a list of what was away when, as far as the campaign has gone."""
    found: list[tuple[float, str, str]] = [
        (first, site, f"day {first} to {end}") for site, ends in AWAY.items() for first, end in ends
    ]
    hours = {**{f"`{name}`": ends for name, ends in STORAGES_AWAY.items()}, "the bus": BUS_AWAY}
    found += [
        (first / DAY_S, what, f"day {first / DAY_S:g}, {end - first:.0f} hours")
        for what, ends in hours.items()
        for first, end in ends
    ]
    return "\n".join(f"- {what}: {when}" for day, what, when in sorted(found) if day < days)


def picture(year: Year) -> str:
    """Return an SVG: running jobs by site, one above the other, over the days."""
    days = year.running[-1][0] / DAY_S
    top = 1_000 * -(-max(sum(sites.values()) for _, sites in year.running) // 1_000)
    body = [_text(LEFT, 20, "Running jobs by site", size=15)]
    x = LEFT + 260
    for colour, site in zip(COLOURS, SLOTS, strict=True):
        body.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{colour}"/>')
        body.append(_text(x + 18, 20, site))
        x += 40 + 8 * len(site)
    columns = _columns(year.running)
    below = [0.0] * len(columns)
    for colour, site in zip(COLOURS, SLOTS, strict=True):
        above = [low + sites[site] for low, sites in zip(below, columns, strict=True)]
        step = (WIDTH - LEFT - 20) / len(columns)
        up = [f"{LEFT + at * step:.1f},{_y(value, top):.1f}" for at, value in enumerate(above)]
        down = [f"{LEFT + at * step:.1f},{_y(value, top):.1f}" for at, value in enumerate(below)]
        points = " ".join([*up, *reversed(down)])
        body.append(f'<polygon points="{points}" fill="{colour}"/>')
        below = above
    for value in range(0, top + 1, 1_000):
        y = _y(value, top)
        body.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - 20}" y2="{y}" stroke="{FAINT}"/>')
        body.append(_text(LEFT - 8, y + 4, f"{value:,}", anchor="end"))
    for month, day in enumerate(accumulate([0, *[30.4] * int(days / 30.4)])):
        place = LEFT + (WIDTH - LEFT - 20) * day / days
        body.append(_text(place, LOW + 18, f"{month}", anchor="middle"))
    body.append(_text(WIDTH - 20, LOW + 36, "months", anchor="end"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _columns(running: Sequence[tuple[float, dict[str, int]]]) -> list[dict[str, float]]:
    """Return means of neighbours, no more of them than a picture shows."""
    size = -(-len(running) // COLUMNS)
    parts = [running[at : at + size] for at in range(0, len(running), size)]
    return [
        {site: sum(sites[site] for _, sites in part) / len(part) for site in SLOTS}
        for part in parts
    ]


def _y(value: float, top: int) -> float:
    return round(LOW - (LOW - TOP) * value / top, 1)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{INK}">{escape(text)}</text>'
    )
