"""The picture on the page of productions: prod6 in the middle of its work.

`make docs` writes it.
"""

from typing import Final

from pilotage.central.workflows import draw, graph
from pilotage.central.workflows.workflow_files import read_workflow

from ..tidy import tree

PICTURE: Final = tree.ROOT / "docs" / "prod6.svg"
TASKS: Final = (4_000, 2_000, 2_000, 400, 80, 16, 1, 1)  # of a step, by how far down it is
STANDS: Final = {"merge1-proton-train_cl": "12 files failed too often"}


def drawn() -> str:
    """Return it as SVG: how far a step is follows from how far down it is."""
    workflow = read_workflow(tree.ROOT / "examples" / "prod6" / "prod6.yaml").workflow
    levels = graph.levels(workflow)
    nodes = {
        name: _node(level, STANDS.get(name, ""), shift)
        for shift, (name, level) in enumerate(levels.items())
    }
    return draw.as_svg(workflow, nodes)


def _node(level: int, why: str, shift: int) -> draw.DrawnStep:
    tasks = TASKS[min(level, len(TASKS) - 1)]
    part = max(0.0, min(1.0, 1.25 - 0.3 * level - 0.01 * (shift % 7)))
    done, run = int(tasks * part), int(min(tasks * 0.04, tasks * (1 - part))) if part else 0
    words = f"{done}/{'' if level == 0 or part == 1.0 else '≈ '}{tasks} done"
    return draw.DrawnStep(
        f"{words}, {run} run" if run else words if done else f"{words}, waits for files",
        done=done / tasks,
        failed=0.03 if why else 0.0,
        look="stuck" if why else "over" if part == 1.0 else "",
        why=why,
    )


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
