"""Draws the graph of a workflow as text for a terminal and as SVG, with its progress. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from xml.sax.saxutils import escape

from pilotage.proto.documents.workflow import Workflow

from . import graph
from .flow import StepCounts
from .layout import HEIGHT, MARGIN, WIDTH, layout

LINE: Final = 17  # height of a line below the graph
NAME_MAX: Final = 30  # characters of a name in a box
WORDS_MAX: Final = 34
OTHERS_MAX: Final = 3  # parents that are named behind `+`
BAR: Final = 20  # characters of the bar

_STYLE: Final = """
  text { font: 12px system-ui, sans-serif; fill: #1a1a1a }
  .count { font-size: 11px; fill: #555 }
  .box { fill: #f7f7f7; stroke: #888 }
  .done { fill: #b7dfb9 }
  .failed { fill: #efb0b0 }
  .over { stroke: #3f8f45 }
  .stuck, .waits { stroke: #d08a1e; stroke-width: 2.5 }
  .why { fill: #a06000 }
  .link { fill: none; stroke: #999; stroke-width: 1.3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #eee } .count { fill: #aaa } .box { fill: #2a2a2a; stroke: #777 }
    .done { fill: #2f6b33 } .failed { fill: #7c2d2d } .why { fill: #e0b060 }
  }
"""


@dataclass(frozen=True)
class DrawnStep:
    """The progress of a step for drawing."""

    words: str
    done: float = 0.0  # from 0 to 1
    failed: float = 0.0
    look: Literal["", "over", "stuck", "waits"] = ""
    why: str = ""  # it is stuck, or waits for a pilot


Nodes = Mapping[str, DrawnStep]


def of_counts(counts: Mapping[str, StepCounts]) -> Nodes:
    """Return the drawn steps of a run on one machine."""
    return {name: _node(one) for name, one in counts.items()}


def as_text(workflow: Workflow, nodes: Nodes | None = None) -> list[str]:
    """Return the graph as lines: each step below its last parent, other parents behind `+`.

    The lines below the graph say why steps are stuck, or wait.
    """
    rows = _rows(workflow)
    if nodes is None:
        return [text for text, _ in rows]
    width = max(len(text) for text, _ in rows)
    return [
        *(
            f"{text.ljust(width)}  {_bar(nodes[name])}  {nodes[name].words}".rstrip()
            for text, name in rows
        ),
        *_reasons(workflow, nodes),
    ]


def _reasons(workflow: Workflow, nodes: Nodes) -> list[str]:
    return [
        f"{name} {'waits' if nodes[name].look == 'waits' else 'is stuck'}: {nodes[name].why}"
        for name in graph.order(workflow)
        if name in nodes and nodes[name].why
    ]


def _tree(workflow: Workflow) -> dict[str, str | None]:
    """Return the parent under which each step is shown."""
    levels = graph.levels(workflow)
    found: dict[str, str | None] = {}
    for name in graph.order(workflow):
        above = graph.parents(workflow, name)
        found[name] = max(above, key=lambda one: levels[one]) if above else None
    return found


def _rows(workflow: Workflow) -> list[tuple[str, str]]:
    """Return the lines of the graph, each with its step, without recursion: it may be deep."""
    tree = _tree(workflow)
    fed: dict[str | None, list[str]] = {}
    for name, above in tree.items():
        fed.setdefault(above, []).append(name)
    rows: list[tuple[str, str]] = []
    open_ = [(name, "", "") for name in reversed(fed[None])]
    while open_:
        name, lead, inner = open_.pop()
        others = [one for one in graph.parents(workflow, name) if one != tree[name]]
        rows.append((lead + name + _other_parents(others), name))
        below = fed.get(name, [])
        for child in reversed(below):
            last = child == below[-1]
            lead, deeper = ("└─ ", "   ") if last else ("├─ ", "│  ")
            open_.append((child, inner + lead, inner + deeper))
    return rows


def _other_parents(others: Sequence[str]) -> str:
    """Return the parents of a step other than the one above it."""
    if not others:
        return ""
    shown = ", ".join(others[:OTHERS_MAX])
    more = len(others) - OTHERS_MAX
    return f"  + {shown}{f' and {more} more' if more > 0 else ''}"


def _node(counts: StepCounts) -> DrawnStep:
    """Return the progress of a step, in words and parts."""
    if counts.total == 0:
        return DrawnStep("nothing to do", look="over")
    more = [
        f"{count} {word}"
        for count, word in ((counts.failed, "failed"), (counts.skipped, "skipped"))
        if count
    ]
    made = counts.made or 1
    return DrawnStep(
        ", ".join([f"{counts.done}/{counts.made} done", *more]),
        done=(counts.done + counts.skipped) / made,
        failed=counts.failed / made,
    )


def _bar(node: DrawnStep) -> str:
    done = int(BAR * node.done + 1e-9)  # full only when all is done
    failed = min(BAR - done, round(BAR * node.failed))
    return "█" * done + "▒" * failed + "░" * (BAR - done - failed)


def as_svg(workflow: Workflow, nodes: Nodes | None = None) -> str:
    """Return the graph as an SVG document, from left to right, with the reasons below it."""
    where = layout(workflow)
    width, below = where.width, where.height
    reasons = _reasons(workflow, nodes or {})
    height = below + LINE * len(reasons) + (MARGIN if reasons else 0)
    links = (f'<path class="link" d="{way}"/>' for way in where.links)
    boxes = (_box(name, *where.corners[name], (nodes or {}).get(name)) for name in workflow.steps)
    texts = (
        f'<text class="why" x="{MARGIN}" y="{below + LINE * row + 4}">{escape(said)}</text>'
        for row, said in enumerate(reasons)
    )
    title = escape(workflow.title or workflow.name)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img">',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            *links,
            *boxes,
            *texts,
            "</svg>\n",
        ]
    )


def _box(name: str, x: float, y: float, node: DrawnStep | None) -> str:
    shown = _short(name, NAME_MAX)
    text = "" if node is None else f"{node.words}{f'. {node.why}' if node.why else ''}"
    look = f"box {node.look}".strip() if node is not None else "box"
    parts = [
        f'<g transform="translate({x:.0f} {y:.0f})">',
        f"<title>{escape(name)}{': ' if text else ''}{escape(text)}</title>",
        f'<rect class="{look}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
    ]
    if node is not None and node.done + node.failed:
        done = WIDTH * min(1.0, node.done)
        failed = min(WIDTH - done, WIDTH * node.failed)
        parts.append(f'<rect class="done" width="{done:.0f}" height="6" y="{HEIGHT - 6}"/>')
        parts.append(
            f'<rect class="failed" x="{done:.0f}" width="{failed:.0f}" height="6" '
            f'y="{HEIGHT - 6}"/>'
        )
    parts.append(f'<text x="10" y="18">{escape(shown)}</text>')
    if node is not None:
        words = escape(_short(node.words, WORDS_MAX))
        parts.append(f'<text class="count" x="10" y="34">{words}</text>')
    return "".join([*parts, "</g>"])


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
