"""Programs that nobody waits for any more do not run on, and hold up no others."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from pilotage.central.factory.guarded_drivers import PROGRAMS_AT_ONCE, FewCommands
from pilotage.central.factory.spawned_commands import spawned

HANGS = ["sh", "-c", 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec sleep 600']
BOUND_S = 30.0


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not holds():  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)


def process_of(file: Path) -> Path:
    return Path("/proc") / file.read_text().strip()


async def test_a_program_that_is_given_up_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "number"
    async with spawned() as commands, asyncio.TaskGroup() as group:
        given_up = group.create_task(commands.run([*HANGS, str(file)], timeout_s=300))
        await eventually(file.exists)
        given_up.cancel()

        await eventually(lambda: not process_of(file).exists())
        assert (await commands.run(["true"], timeout_s=BOUND_S)).code == 0


async def test_an_element_that_hangs_leaves_places_to_others(tmp_path: Path) -> None:
    def begun() -> int:
        return sum(not file.suffix for file in tmp_path.iterdir())

    async with spawned() as commands, asyncio.TaskGroup() as group:
        hanging = FewCommands(commands)
        runs = [
            group.create_task(hanging.run([*HANGS, str(tmp_path / str(n))], timeout_s=300))
            for n in range(5 * PROGRAMS_AT_ONCE)
        ]
        await eventually(lambda: begun() >= PROGRAMS_AT_ONCE)

        assert (await FewCommands(commands).run(["true"], timeout_s=BOUND_S)).code == 0
        assert begun() == PROGRAMS_AT_ONCE
        for run in runs:
            run.cancel()
