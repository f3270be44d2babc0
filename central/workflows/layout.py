"""Places the steps of a workflow in a picture, with the paths of its links. Pure.

Each step is in the column of its level. A link over several columns gets a lane in each column
between, so that no link runs behind a box. Links from the same step share their lanes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pilotage.proto.documents.workflow import Workflow

from . import graph

WIDTH, HEIGHT = 210, 46  # of the box of a step, in pixels
LANE: Final = 4  # the height of a lane
APART_X, APART_Y, MARGIN = 50, 16, 16


class Lane(NamedTuple):
    """The place of the links from a step, in a column that they only cross."""

    step: str
    column: int


@dataclass(frozen=True)
class Layout:
    """A picture: corners are the upper left ones, in pixels."""

    corners: Mapping[str, tuple[float, float]]  # of steps
    links: Sequence[str]  # the paths of the links, as SVG
    width: float
    height: float


def layout(workflow: Workflow) -> Layout:
    """Return the places of all steps and links. There must be no cycle."""
    columns = _columns(workflow)
    heights = [_height_of(one) for one in columns]
    corners: dict[str | Lane, tuple[float, float]] = {}
    for column, (some, height) in enumerate(zip(columns, heights, strict=True)):
        x, y = MARGIN + column * (WIDTH + APART_X), MARGIN + (max(heights) - height) / 2
        for one in some:
            corners[one] = (x, y)
            y += (LANE if isinstance(one, Lane) else HEIGHT) + APART_Y
    links = [
        _link(corners, parent, name)
        for name in workflow.steps
        for parent in graph.parents(workflow, name)
    ]
    return Layout(
        {name: corners[name] for name in workflow.steps},
        links,
        2 * MARGIN + len(columns) * (WIDTH + APART_X) - APART_X,
        2 * MARGIN + max(heights),
    )


def _height_of(column: Sequence[str | Lane]) -> float:
    boxes = sum(LANE if isinstance(one, Lane) else HEIGHT for one in column)
    return boxes + (len(column) - 1) * APART_Y


def _columns(workflow: Workflow) -> list[list[str | Lane]]:
    """Return the steps and lanes of each column, sorted to be near their parents."""
    levels = graph.levels(workflow)
    fed = graph.children(workflow)
    columns: list[list[str | Lane]] = [[] for _ in range(max(levels.values()) + 1)]
    for name in graph.order(workflow):
        columns[levels[name]].append(name)
        last = max((levels[child] for child in fed[name]), default=0)
        for column in range(levels[name] + 1, last):
            columns[column].append(Lane(name, column))
    places: dict[str | Lane, float] = {}
    for some in columns:
        some.sort(key=lambda one: _best(_before(workflow, levels, one), places))
        for row, one in enumerate(some):
            places[one] = (row + 0.5) / len(some)
    return columns


def _before(workflow: Workflow, levels: Mapping[str, int], one: str | Lane) -> Sequence[str | Lane]:
    """Return the parents of a step or lane in the column before."""
    if isinstance(one, Lane):
        return [_at(levels, one.step, one.column - 1)]
    return [_at(levels, its, levels[one] - 1) for its in graph.parents(workflow, one)]


def _at(levels: Mapping[str, int], step: str, column: int) -> str | Lane:
    return step if levels[step] == column else Lane(step, column)


def _best(before: Sequence[str | Lane], places: Mapping[str | Lane, float]) -> float:
    """Return the best height of a step: the mean of its parents."""
    return sum(places[one] for one in before) / len(before) if before else 0.0


def _link(corners: Mapping[str | Lane, tuple[float, float]], start: str, end: str) -> str:
    """Return the path of a link: it changes its height only between columns."""
    x, y = corners[start][0] + WIDTH, corners[start][1] + HEIGHT / 2
    way = f"M{x:.0f} {y:.0f}"
    column = round((corners[start][0] - MARGIN) / (WIDTH + APART_X)) + 1
    while (lane := Lane(start, column)) in corners and corners[lane][0] < corners[end][0]:
        middle = corners[lane][1] + LANE / 2
        way += _bend(x, y, corners[lane][0], middle)
        x, y = corners[lane][0] + WIDTH, middle
        way += f" L{x:.0f} {y:.0f}"
        column += 1
    return way + _bend(x, y, corners[end][0], corners[end][1] + HEIGHT / 2)


def _bend(x1: float, y1: float, x2: float, y2: float) -> str:
    middle = (x1 + x2) / 2
    return f" C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
