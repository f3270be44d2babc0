"""The graph of prod6 on pilots at four sites, while much goes wrong: no hand.

48 transformations of stand-in programs. The gate runs a fifth of the jobs; `make long` runs all
1 506. 3 of 100 attempts crash, 3 of 100 requests to
the storage are refused, pilots and the central are killed, one node fails all that it gets, one
file does not read, jobs hang. Periods are a sixtieth of those in use.
"""

import json
import random
import re
import sqlite3
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from pilotage.central.operate.datadir import STORE_FILE
from pilotage.proto.api.productions import ProductionView
from pilotage.proto.failures import FailureClass
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState
from tests.services.nginx import PROGRAM, nginx

from .catalogue_rows import FoundFile, files_in
from .running import ROOT, RunningCentral, running_central

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")

PROD6: Final = ROOT / "examples" / "prod6"
WITHIN_S: Final = 280.0
SITES: Final = ("LaPalma", "PIC", "CSCS", "Frascati")
BLACK_HOLE: Final = "black-hole"
BAD: Final = "gamma_run000007_dark.simtel.zst"  # nobody can read it
WITHOUT: Final = (  # the steps that take all of its followers
    *("dl2-gamma-test", "merge1-gamma-test", "merge2-gamma-test", "merge3-gamma-test"),
    *("apply-gamma-test", "irf"),
)
CRASHES: Final = 0.03  # of all attempts
REFUSED: Final = 3.0  # % of requests to the storage
LEASE_S: Final = 10.0
STALL_S: Final = 10

# How many files of a step were read by how many of its jobs whose files are published.
TIMES: Final = """
SELECT times, count(*) FROM (
    SELECT count(DISTINCT used.job_id) AS times
      FROM task JOIN job_input AS used USING (job_id)
      JOIN input ON input.transformation_id = task.transformation_id
                AND input.file_id = used.file_id AND input.state = 'Processed'
     WHERE EXISTS (SELECT 1 FROM file WHERE file.job_id = task.job_id)
     GROUP BY task.transformation_id, used.file_id
) GROUP BY times
"""
PROCESSED: Final = "SELECT count(*) FROM input WHERE state = 'Processed'"

# What goes wrong in the programs, before each does its work. No job crashes twice: on the node that
# fails all it may fail once more, and a simulation that has failed three times is left to a person.
FAULTS: Final = f"""
def go_wrong(words: list[str]) -> None:
    import os, random, socket, time
    job, epoch = os.environ["PILOTAGE_JOB"], os.environ["PILOTAGE_EPOCH"]
    if socket.gethostname() == {BLACK_HOLE!r}:
        sys.exit("cannot open shared object file")
    chances = [random.Random(f"{{job}}/{{one}}").random() for one in range(1, int(epoch) + 1)]
    if chances[-1] < {CRASHES} <= min(chances[:-1], default=1):  # once in the life of a job
        os.kill(os.getpid(), 11)
    if job in HANG and epoch == "1":
        time.sleep(3600)
    if any(word.endswith({BAD!r}) for word in words):
        sys.exit("a block of {BAD} does not read")


if __name__ == "__main__":
    go_wrong(sys.argv[1:])
"""


@dataclass(frozen=True)
class Size:
    """How large a production is."""

    runs: int  # of each particle, which make two files each
    jobs: int  # about
    allowed: str  # of the inputs of a step: the bad one, and no other
    hang: tuple[str, ...]  # jobs whose first attempt does


GATE: Final = Size(runs=50, jobs=330, allowed="1%", hang=("80", "120", "160", "200", "240"))
WHOLE: Final = Size(runs=250, jobs=1_506, allowed="0.2%", hang=("1100", "1200", "1300"))


@dataclass
class Story:
    """The central, the storage and the pilots, and what has happened to them."""

    size: Size
    folder: Path
    central: RunningCentral
    told: list[str] = field(default_factory=list[str])
    began: float = field(default_factory=time.monotonic)

    def tell(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self.began:6.1f} s  {what}")

    def view(self) -> ProductionView:
        """Return how far the production is."""
        return self.central.client.production("prod6").view


@pytest.mark.parametrize(
    "size", [pytest.param(GATE, id="gate"), pytest.param(WHOLE, id="whole", marks=pytest.mark.long)]
)
def test_all_is_completed_without_a_hand(size: Size, tmp_path: Path) -> None:
    with ExitStack() as stack:
        story = _begun(size, tmp_path, stack)
        _spoil(story, random.Random(6))
        print("\n".join(story.told))
        _check(story, files_in(story.central.data))
        _check_faults(story)


def _begun(size: Size, folder: Path, stack: ExitStack) -> Story:
    """Start everything, and hand in the workflow."""
    _spoil_programs(size, folder)
    web = stack.enter_context(nginx(folder / "nginx", refuses=REFUSED))
    data = folder / "site" / "central"
    (data / "storages").mkdir(parents=True)
    data.chmod(0o700)
    (data / "storages" / "web.yaml").write_text(f"type: http\nurl: {web.url}/\ndefault: true\n")
    options = {"lease.lease_s": str(LEASE_S)}
    central = stack.enter_context(running_central(folder / "site", options))
    story = Story(size, folder, central)
    for site in SITES:
        _pilot(story, site)
    words = ("prod", "submit", str(folder / "prod6.yaml"), "--set", f"runs={size.runs}")
    story.tell(central.type(*words, "--allow-partial", size.allowed).splitlines()[0])
    return story


def _pilot(story: Story, site: str) -> None:
    number = len(story.central.pilots)
    story.central.pilot(
        site,
        cores=8,
        memory_mb=64_000,
        tags=("processing", "training"),
        host=f"{site.lower()}-{number}",
    )


def _spoil_programs(size: Size, folder: Path) -> None:
    """Write prod6 with programs in which much goes wrong, and which may not hang for long."""
    main = 'if __name__ == "__main__":\n'
    program = (PROD6 / "standin.py").read_text()
    assert program.count(main) == 1
    (folder / "standin.py").write_text(program.replace(main, f"HANG = {size.hang!r}\n{FAULTS}"))
    text = (PROD6 / "prod6.yaml").read_text()
    kind = re.compile(r"^      type: \w+$", re.MULTILINE)
    text = kind.sub(rf"\g<0>\n      limits: {{stall_s: {STALL_S}}}", text)
    (folder / "prod6.yaml").write_text(text)


def _spoil(story: Story, chance: random.Random) -> None:
    """Add a bad node, kill pilots and the central while the work goes on, and wait for its end."""
    # The bad node comes when others have done some work, and is found before the central forgets
    # what it has counted: twelve jobs fail there at once, and ten of one owner are enough.
    mishaps = [
        *(("black hole", 0.03), ("central", 0.2), ("pilot", 0.3)),
        *(("pilot", 0.45), ("central", 0.6), ("pilot", 0.7)),
    ]
    until = time.monotonic() + WITHIN_S
    shown = 0.0
    while True:
        view = story.view()
        done = sum(one.tasks.get(TaskState.DONE, 0) for one in view.steps)
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            story.tell(f"{done} done, {view.progress:.1%}, {view.eta}, {view.marks}")
        if view.state is ProductionState.COMPLETED:
            story.tell("all is completed")
            return
        paused = [one for one in view.steps if one.state is TransformationState.PAUSED]
        assert not paused, (story.told, [(one.step, one.reason) for one in paused])
        assert time.monotonic() < until, _left(story, view)
        if mishaps and done > mishaps[0][1] * story.size.jobs:
            _happen(story, mishaps.pop(0)[0], chance)
        time.sleep(0.3)


def _happen(story: Story, what: str, chance: random.Random) -> None:
    if what == "central":
        story.central.kill9()
        story.tell("the central is killed")
        story.central.restart()
        return
    if what == "black hole":
        story.central.pilot(
            "PIC", cores=12, memory_mb=64_000, tags=("processing",), host=BLACK_HOLE
        )
        return
    alive = [one for one in story.central.pilots if one.process.poll() is None]
    victim = chance.choice([one for one in alive if one.host != BLACK_HOLE])
    victim.kill9()
    story.tell(f"a pilot at {victim.site} is killed")
    _pilot(story, victim.site)


def _left(story: Story, view: ProductionView) -> str:
    """Return what is not at its end."""
    lines = [
        f"{one.step}: {one.state.value} {one.reason} inputs {one.inputs} tasks {one.tasks}"
        for one in view.steps
        if one.state is not TransformationState.COMPLETED
    ]
    return "\n".join([*story.told, *lines])


def _check(story: Story, files: dict[str, FoundFile]) -> None:
    """Each file was used once in each step, and only the bad one was left out."""
    view = story.view()
    assert len(view.steps) == 48
    assert {one.state for one in view.steps} == {TransformationState.COMPLETED}
    reasons = {one.step: one.reason for one in view.steps if one.reason}
    missing = f"1 of {2 * story.size.runs} files of prod6-dl1-gamma-test"
    assert reasons == dict.fromkeys(WITHOUT, f"made without {missing}")
    used: defaultdict[str, Counter[str]] = defaultdict(Counter)
    bad: dict[str, list[str]] = {}
    for step in view.steps:
        for one in story.central.client.transformation_files(step.name):
            used[step.step][one.state.value] += 1
            if one.state is not InputState.PROCESSED and one.state is not InputState.SHARED:
                bad.setdefault(step.step, []).append(f"{one.file} {one.state.value}")
    assert set(bad) == {"dl1-gamma-test"}, bad
    assert len(bad["dl1-gamma-test"]) == 1
    assert bad["dl1-gamma-test"][0].endswith(f"{BAD} {InputState.PROBLEMATIC.value}")
    _check_lineage(story)
    raw = [one for one in files.values() if one.did.endswith(".simtel.zst")]
    assert len(raw) == 8 * story.size.runs
    (irf,) = [one for one in files.values() if one.metadata.get("outputType") == "IRF"]
    (path, state) = irf.copies["web"]
    assert state == "Available"
    content = (story.folder / "nginx" / "files" / path).read_text().split()
    tests = [one for one in raw if one.metadata["split"] == "test"]
    expected = sorted(Path(one.did.partition(":")[2]).name for one in tests)
    expected.remove(BAD)
    assert content == expected
    print(json.dumps({step: dict(counts) for step, counts in used.items()}))


def _check_lineage(story: Story) -> None:
    """What is published was made of each processed file once in each step."""
    path = story.central.data / STORE_FILE
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        times = Counter(dict(store.execute(TIMES).fetchall()))
        (processed,) = store.execute(PROCESSED).fetchone()
    assert times == {1: processed}


def _check_faults(story: Story) -> None:
    """All that was to go wrong has gone wrong: else nothing was shown."""
    seen = Counter[FailureClass]()
    for line in story.central.client.failures().lines:
        seen[line.failure] += line.attempts
    refused = (story.folder / "nginx" / "access.log").read_text().count('" 503 ')
    suspended = [one["host"] for one in story.central.events("host_suspended")]
    print(dict(seen), refused, suspended)
    assert seen[FailureClass.PAYLOAD] > CRASHES * story.size.jobs / 3
    assert seen[FailureClass.PREEMPTED] >= 1, "pilots were killed at their work"
    assert seen[FailureClass.TIME] >= 1, "a job hung"
    assert refused > story.size.jobs / 150
    assert BLACK_HOLE in suspended
