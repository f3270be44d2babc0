"""The pictures of results, as SVG in plain text."""

import math
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from .load import DAY_S, HOUR_S
from .measures import Outcome, parts

WIDTH: Final = 960
LEFT: Final = 110  # of the first panel
TOP: Final = 46
PANEL: Final = 190  # height of the drawings over time
GAP: Final = 24
ROW: Final = 34  # height of a kind of job
COLOURS: Final = ("#1b6ca8", "#d1495b", "#edae49", "#3b8b5a", "#7a5195", "#8c6d46")
INK, FAINT = "#222222", "#d8d8d8"
TICKS_S: Final = (
    ("1 min", 60.0),
    ("10 min", 600.0),
    ("1 h", HOUR_S),
    ("6 h", 6 * HOUR_S),
    ("1 d", DAY_S),
    ("3 d", 3 * DAY_S),
    ("7 d", 7 * DAY_S),
)


def picture(outcomes: Sequence[Outcome]) -> str:
    """Return an SVG: each group's part over time under each policy, and the waits of each kind."""
    kinds = list(outcomes[0].waits)
    waits_top = TOP + PANEL + 92
    height = waits_top + ROW * len(kinds) + 34
    body: list[str] = [_text(10, 20, outcomes[0].load.name, size=15, weight="bold")]
    body += _legend(list(parts(outcomes[0])))
    note = "part of the busy cores; dotted: due over the whole time"
    body.append(_text(LEFT, TOP + PANEL + 48, note))
    wide = (WIDTH - LEFT - 20 - GAP * (len(outcomes) - 1)) / len(outcomes)
    for at, outcome in enumerate(outcomes):
        body += _over_time(outcome, LEFT + at * (wide + GAP), wide, with_scale=at == 0)
    body += _waits(outcomes, kinds, waits_top)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="sans-serif" font-size="11">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _over_time(outcome: Outcome, left: float, wide: float, *, with_scale: bool) -> list[str]:
    """Draw the part of the busy cores that each group has, and dotted what it is due."""
    low = TOP + PANEL
    body = [_text(left, TOP - 6, outcome.policy, weight="bold")]
    for tenths in (0, 2, 4, 6, 8, 10):
        y = low - PANEL * tenths / 10
        body.append(_line(left, y, left + wide, y, FAINT))
        if with_scale:
            body.append(_text(left - 8, y + 4, f"{10 * tenths} %", anchor="end"))
    days = outcome.load.length_s / DAY_S
    for day in range(math.floor(days) + 1):
        body.append(_text(left + wide * day / days, low + 15, f"{day}", anchor="middle"))
    body.append(_text(left + wide, low + 32, "days", anchor="end"))
    due = outcome.by_group(outcome.due_core_s())
    for colour, (group, line) in zip(COLOURS, parts(outcome).items(), strict=False):
        step = wide / len(line)
        points = " ".join(
            f"{left + (at + 0.5) * step:.1f},{low - PANEL * part:.1f}"
            for at, part in enumerate(line)
        )
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = low - PANEL * due[group] / sum(due.values())
        body.append(_line(left, y, left + wide, y, colour, dash="2 4"))
    return body


def _waits(outcomes: Sequence[Outcome], kinds: Sequence[str], top: float) -> list[str]:
    """Draw median, 95 % and longest wait of each kind on a logarithmic scale."""
    low = top + ROW * len(kinds)
    title = "waits: median (dot), 95 % (bar), longest (line), from above: "
    body = [_text(10, top - 12, title + ", ".join(known.policy for known in outcomes))]
    for name, at_s in TICKS_S:
        body.append(_line(_x(at_s), top, _x(at_s), low, FAINT))
        body.append(_text(_x(at_s), low + 16, name, anchor="middle"))
    for row, kind in enumerate(kinds):
        body.append(_text(LEFT - 8, top + ROW * (row + 0.5) + 4, kind, anchor="end"))
        for at, outcome in enumerate(outcomes):
            y = top + ROW * row + 8 + at * (ROW - 14) / max(1, len(outcomes) - 1)
            shade = COLOURS[0] if at == 0 else ("#9a9a9a", "#c4a35a")[(at - 1) % 2]
            median, most, longest = (
                _x(outcome.waits[kind].quantile(part)) for part in (0.5, 0.95, 1.0)
            )
            body.append(_line(median, y, longest, y, shade))
            body.append(_line(median, y, most, y, shade, width=4))
            body.append(f'<circle cx="{median:.1f}" cy="{y:.1f}" r="4" fill="{shade}"/>')
    return body


def _legend(groups: Sequence[str]) -> list[str]:
    body: list[str] = []
    x = LEFT + 60.0
    for colour, group in zip(COLOURS, groups, strict=False):
        body.append(_line(x, 16, x + 18, 16, colour, width=3))
        body.append(_text(x + 23, 20, group))
        x += 50 + 7 * len(group)
    return body


def _x(seconds: float) -> float:
    """Return where a wait lies, from 30 s to 8 days."""
    low, high = math.log(30.0), math.log(8 * DAY_S)
    part = (math.log(min(max(seconds, 30.0), 8 * DAY_S)) - low) / (high - low)
    return LEFT + part * (WIDTH - LEFT - 20)


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: str = ""
) -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"{dashes}/>'
    )


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 11, weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{INK}">{escape(text)}</text>'
    )
