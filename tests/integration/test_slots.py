"""A pilot process against a central without manners, and against a batch system that ends it."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pilotage.proto.messages import Assignment, Attempt, How
from tests.scripted_central import Central, assignment

from .test_pilot_process import SOON_S, events, pilot, served, until

NODE = (
    "--overcommit",
    "--cores",
    "4",
    "--memory-mb",
    "4000",
    "--scratch-mb",
    "3000",
    "--gpus",
    "1",
)


def given(job: int, *command: str, **grant: Any) -> Assignment:
    """Return an assignment with a grant that differs in this from the usual one."""
    one = assignment(job, *command)
    return dataclasses.replace(one, grant=dataclasses.replace(one.grant, **grant))


#    what each of them wants, in the order in which they are given
TOO_MUCH: list[tuple[dict[str, Any], How]] = [
    ({"cores": 2, "memory_mb": 1_000}, How.EXITED),
    ({"cores": 3, "memory_mb": 100}, How.DECLINED),  # two cores are left
    ({"cores": 1, "memory_mb": 3_500}, How.DECLINED),  # 3000 MB are left
    ({"cores": 1, "memory_mb": 100, "scratch_mb": 2_000}, How.EXITED),
    ({"cores": 1, "memory_mb": 100, "scratch_mb": 2_000}, How.DECLINED),
    ({"cores": 1, "memory_mb": 100, "gpus": 2}, How.DECLINED),
    ({"cores": 1, "memory_mb": 100, "gpus": 1}, How.EXITED),
    ({"cores": 1, "memory_mb": 100}, How.DECLINED),  # no core is left
    ({"cores": 1, "memory_mb": 100, "wall_s": 1e9}, How.DECLINED),
]


def test_a_pilot_takes_no_more_than_it_has_whatever_it_is_given(tmp_path: Path) -> None:
    central = Central()
    central.lavish = True
    central.queue.extend(
        given(n, "sleep", "0.3", **wanted) for n, (wanted, _) in enumerate(TOO_MUCH, 1)
    )

    with served(central) as url, pilot(url, tmp_path, *NODE) as process:
        until(lambda: len(central.ended) == len(TOO_MUCH))
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON_S) == 0

    ends = [central.ended[Attempt(n, 1)].how for n in range(1, len(TOO_MUCH) + 1)]
    assert ends == [how for _, how in TOO_MUCH]


@contextlib.contextmanager
def batch_job(folder: Path, wall_s: int, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Be in a batch job; yield the file that says how long it may take, which sites change."""
    limit = folder / "wall_limit_secs"
    limit.write_text(str(wall_s))
    (folder / "jobstart_secs").write_text(str(int(time.time())))
    monkeypatch.setenv("JOBFEATURES", str(folder))
    yield limit


def test_payloads_are_stopped_before_the_batch_system_ends_the_pilot_also_when_that_comes_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    central = Central()
    central.lavish = True  # what does not fit the time left is given all the same
    script = "trap 'echo heard; exit 3' TERM; while :; do sleep 0.05; done"
    central.queue.append(given(1, "sh", "-c", script, wall_s=500))
    central.queue.append(given(2, "true", wall_s=541))  # more than 600 less the margin
    features = tmp_path / "features"
    features.mkdir()

    with (
        batch_job(features, 600, monkeypatch) as limit,
        served(central) as url,
        pilot(url, tmp_path, "--cores", "2", "--time-look-s", "1") as process,
    ):
        until(lambda: "payload_started" in events(tmp_path))
        until(lambda: Attempt(2, 1) in central.ended)
        end_at = time.time() + 30
        limit.write_text(str(int(end_at - int((features / "jobstart_secs").read_text()))))
        code = process.wait(SOON_S)
        left_s = end_at - time.time()

    stopped, too_long = central.ended[Attempt(1, 1)], central.ended[Attempt(2, 1)]
    assert (code, stopped.how, stopped.exit_code) == (0, How.DRAINED, 3)
    assert too_long.how is How.DECLINED
    assert left_s > 0, "the batch system had to end it"
    assert central.turns[0].ask is not None
    assert 530 < central.turns[0].ask.offer.wall_left_s <= 540


def test_a_pilot_that_is_told_to_drain_ends_what_it_holds_and_takes_nothing_more(
    tmp_path: Path,
) -> None:
    central = Central()
    central.queue.append(given(1, "sleep", "0.5"))

    with served(central) as url, pilot(url, tmp_path, "--cores", "2") as process:
        until(lambda: "payload_started" in events(tmp_path))
        central.drain = True
        until(lambda: "draining" in events(tmp_path))
        central.queue.append(given(2, "true"))
        code = process.wait(SOON_S)

    assert (code, central.ended[Attempt(1, 1)].how) == (0, How.EXITED)
    assert Attempt(2, 1) not in central.ended
    assert central.beats[-1].goodbye
