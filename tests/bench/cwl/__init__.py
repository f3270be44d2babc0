"""Documents of CWL: on pilots, beside other runners, and how a large scatter is taken in."""

from ..figures import Figure
from . import compared, scatter

NAME = "cwl"
WORK = (
    f"A scatter of {scatter.ELEMENTS:,} elements is submitted; the time ends when all its jobs are "
    f"stored. Then each runner runs two workflows with its own command: a *gather* of "
    f"{compared.GATHERED} short tools, and a *diamond* of four scattered steps with "
    f"{compared.ELEMENTS} elements. Pilotage uses {compared.PILOTS} pilots of {compared.SLOTS} "
    "slots on this machine."
)
BOUND = (
    "A plain job is one of `pilotage bench submit`, 1,000 a call. The CPU of an element is that of "
    "central and evaluator. The two cores are the limit of the workflows: each tool is a process."
)


def run() -> tuple[str, list[Figure]]:
    """Measure all at full size."""
    figures = scatter.measure(scatter.ELEMENTS)
    figures += compared.measure(compared.GATHERED, compared.ELEMENTS)
    others, missing = compared.measure_peers(compared.GATHERED, compared.ELEMENTS)
    return " ".join([WORK, *missing]), figures + others
