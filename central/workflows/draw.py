"""The graph of a workflow as text for a terminal and as SVG, with how far each step is. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from pilotage.proto.workflow import Workflow

from . import graph
from .flow import Counts

WIDTH, HEIGHT = 190, 44  # of the box of a step, in pixels
APART_X, APART_Y, MARGIN = 70, 16, 16
NAME_MAX: Final = 26  # characters of a name that fit into a box
BAR: Final = 20  # characters

_STYLE: Final = """
  text { font: 12px system-ui, sans-serif; fill: #1a1a1a }
  .count { font-size: 11px; fill: #555 }
  .box { fill: #f7f7f7; stroke: #888 }
  .done { fill: #b7dfb9 }
  .failed { fill: #efb0b0 }
  .link { fill: none; stroke: #999; stroke-width: 1.3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #eee } .count { fill: #aaa } .box { fill: #2a2a2a; stroke: #777 }
    .done { fill: #2f6b33 } .failed { fill: #7c2d2d }
  }
"""


def as_text(workflow: Workflow, counts: Mapping[str, Counts] | None = None) -> list[str]:
    """Return the graph as lines: each step below the last of its parents, the others behind `+`."""
    rows = _rows(workflow)
    if counts is None:
        return [text for text, _ in rows]
    width = max(len(text) for text, _ in rows)
    return [
        f"{text.ljust(width)}  {_bar(counts[name])}  {_words(counts[name])}".rstrip()
        for text, name in rows
    ]


def _tree(workflow: Workflow) -> dict[str, str | None]:
    """Return under which of its parents each step is shown."""
    levels = graph.levels(workflow)
    found: dict[str, str | None] = {}
    for name in graph.order(workflow):
        above = graph.parents(workflow, name)
        found[name] = max(above, key=lambda one: levels[one]) if above else None
    return found


def _rows(workflow: Workflow) -> list[tuple[str, str]]:
    """Return the lines of the graph, each with its step. The way down may be long: no recursion."""
    tree = _tree(workflow)
    fed: dict[str | None, list[str]] = {}
    for name, above in tree.items():
        fed.setdefault(above, []).append(name)
    rows: list[tuple[str, str]] = []
    open_ = [(name, "", "") for name in reversed(fed[None])]
    while open_:
        name, lead, inner = open_.pop()
        others = [one for one in graph.parents(workflow, name) if one != tree[name]]
        rows.append((lead + name + (f"  + {', '.join(others)}" if others else ""), name))
        below = fed.get(name, [])
        for child in reversed(below):
            last = child == below[-1]
            lead, deeper = ("└─ ", "   ") if last else ("├─ ", "│  ")
            open_.append((child, inner + lead, inner + deeper))
    return rows


def _bar(counts: Counts) -> str:
    if not counts.made:
        return "░" * BAR
    done = round(BAR * (counts.done + counts.skipped) / counts.made)
    return "█" * done + "░" * (BAR - done)


def _words(counts: Counts) -> str:
    """Return in words how far a step is."""
    if counts.total == 0:
        return "nothing to do"
    said = f"{counts.done}/{counts.made} done"
    more = [
        f"{count} {word}"
        for count, word in ((counts.failed, "failed"), (counts.skipped, "skipped"))
        if count
    ]
    return ", ".join([said, *more])


def as_svg(workflow: Workflow, counts: Mapping[str, Counts] | None = None) -> str:
    """Return the graph as an SVG document, from left to right."""
    columns = _columns(workflow)
    tallest = max(map(len, columns))
    places: dict[str, tuple[float, float]] = {}
    for column, names in enumerate(columns):
        top = (tallest - len(names)) * (HEIGHT + APART_Y) / 2  # in the middle
        for row, name in enumerate(names):
            x = MARGIN + column * (WIDTH + APART_X)
            places[name] = (x, MARGIN + top + row * (HEIGHT + APART_Y))
    width = 2 * MARGIN + len(columns) * (WIDTH + APART_X) - APART_X
    height = 2 * MARGIN + tallest * (HEIGHT + APART_Y) - APART_Y
    links = (
        _link(places[parent], places[name])
        for name in workflow.steps
        for parent in graph.parents(workflow, name)
    )
    boxes = (_box(name, *places[name], (counts or {}).get(name)) for name in workflow.steps)
    title = escape(workflow.title or workflow.name)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img">',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            *links,
            *boxes,
            "</svg>\n",
        ]
    )


def _columns(workflow: Workflow) -> list[list[str]]:
    """Return the steps by level, each near its parents in height."""
    levels = graph.levels(workflow)
    columns: list[list[str]] = [[] for _ in range(max(levels.values()) + 1)]
    for name in graph.order(workflow):
        columns[levels[name]].append(name)
    heights: dict[str, float] = {}
    for names in columns:
        names.sort(key=lambda name: _height(graph.parents(workflow, name), heights))
        for row, name in enumerate(names):
            heights[name] = (row + 0.5) / len(names)
    return columns


def _height(parents: Sequence[str], heights: Mapping[str, float]) -> float:
    """Return where a step would best lie: in the middle of its parents."""
    found = [heights[parent] for parent in parents if parent in heights]
    return sum(found) / len(found) if found else 0.0


def _link(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT / 2
    x2, y2 = end[0], end[1] + HEIGHT / 2
    middle = (x1 + x2) / 2
    way = f"M{x1:.0f} {y1:.0f} C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    return f'<path class="link" d="{way}"/>'


def _box(name: str, x: float, y: float, counts: Counts | None) -> str:
    shown = name if len(name) <= NAME_MAX else name[: NAME_MAX - 1] + "…"
    said = "" if counts is None else _words(counts)
    parts = [
        f'<g transform="translate({x:.0f} {y:.0f})">',
        f"<title>{escape(name)}{': ' if said else ''}{escape(said)}</title>",
        f'<rect class="box" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
    ]
    if counts is not None and counts.made:
        done = WIDTH * (counts.done + counts.skipped) / counts.made
        failed = WIDTH * counts.failed / counts.made
        parts.append(f'<rect class="done" width="{done:.0f}" height="6" y="{HEIGHT - 6}"/>')
        parts.append(
            f'<rect class="failed" x="{done:.0f}" width="{failed:.0f}" height="6" '
            f'y="{HEIGHT - 6}"/>'
        )
    parts.append(f'<text x="10" y="18">{escape(shown)}</text>')
    if said:
        parts.append(f'<text class="count" x="10" y="33">{escape(said)}</text>')
    return "".join([*parts, "</g>"])
