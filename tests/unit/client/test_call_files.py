"""What travels between an executor and its jobs."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.client.errors import MissingPackage
from pilotage.central.client.executor import call_files
from pilotage.central.client.executor.call_files import (
    CallPickler,
    RemoteTraceback,
    outcomes_in,
    packs_of,
    seconds_in,
    value_of,
    write_runner,
)


class OwnError(Exception):
    def __init__(self, code: int, why: str) -> None:  # a pickle of it cannot be read
        super().__init__(f"{code} {why}")


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def square(x: int) -> int:
    return x * x


def fails(x: int) -> int:
    raise ValueError(f"no {x}")


def fails_oddly(_: int) -> int:
    raise OwnError(7, "odd")


def moved(point: Point) -> Point:
    return Point(point.x + 1)


def lock(_: int) -> object:
    import threading

    return threading.Lock()


def run(
    folder: Path, function: Callable[..., Any], *values: Any, modules: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run calls as a job would, in a folder without anything of ours."""
    pickler = CallPickler()
    calls = pickler.pickled([((value,), {}) for value in values], function)
    (pack,) = packs_of([(pickler.pickled(function, function), calls)])
    (folder / "calls.pickle").write_bytes(pack.content())
    if pack.function:
        (folder / "function.pickle").write_bytes(pack.function)
    runner = write_runner(folder)
    return subprocess.run(
        [sys.executable, str(runner), "0", *modules],
        cwd=folder,
        capture_output=True,
        text=True,
        env={},
        timeout=60,
    )


def test_functions_of_a_module_that_the_node_lacks_run_there(tmp_path: Path) -> None:
    assert run(tmp_path, square, 2, 3).returncode == 0

    results = tmp_path / "results.pickle"
    assert [value_of(one) for one in outcomes_in(results)] == [4, 9]
    assert 0 < seconds_in(results) < 1


def test_a_class_of_the_caller_comes_back_as_the_same_class(tmp_path: Path) -> None:
    assert run(tmp_path, moved, Point(1)).returncode == 0

    (outcome,) = outcomes_in(tmp_path / "results.pickle")
    found = value_of(outcome)
    assert type(found) is Point
    assert found.x == 2


def test_a_function_with_much_inside_travels_once(tmp_path: Path) -> None:
    much = b"x" * 1_000_000
    assert run(tmp_path, lambda x: len(much) + x, 1, 2).returncode == 0

    assert [value_of(one) for one in outcomes_in(tmp_path / "results.pickle")] == [
        1_000_001,
        1_000_002,
    ]
    assert (tmp_path / "calls.pickle").stat().st_size < 1_000


#     a function, the exception, its text
FAILURES: list[tuple[Callable[[int], object], type[Exception], str]] = [
    (fails, ValueError, "no 3"),
    (fails_oddly, RuntimeError, "OwnError: 7 odd"),
    (lock, TypeError, "cannot pickle"),
]


@pytest.mark.parametrize(("function", "kind", "said"), FAILURES)
def test_an_exception_comes_back_with_its_traceback(
    function: Callable[[int], object], kind: type[Exception], said: str, tmp_path: Path
) -> None:
    assert run(tmp_path, function, 3).returncode == 0

    (outcome,) = outcomes_in(tmp_path / "results.pickle")
    with pytest.raises(kind, match=said) as caught:
        value_of(outcome)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "Traceback (most recent call last)" in str(caught.value.__cause__)


def test_a_failed_call_does_not_stop_the_others(tmp_path: Path) -> None:
    run(tmp_path, lambda x: 1 // x, 1, 0, -1)

    assert [is_value for is_value, _ in outcomes_in(tmp_path / "results.pickle")] == [
        True,
        False,
        True,
    ]


def test_a_missing_module_and_another_python_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(tmp_path, square, 1, modules=("json", "no_such_module", "no_such.part"))
    assert found.returncode == 1
    assert found.stderr.endswith("has no module no_such_module, no_such.part\n")

    version = sys.version_info
    monkeypatch.setattr(call_files, "_MAIN", call_files._MAIN.replace("{version}", "(2, 7)"))
    found = run(tmp_path, square, 1)
    assert found.returncode == 1
    assert f"is Python {version[0]}.{version[1]}, but the caller has" in found.stderr
    assert "Executor(python=...)" in found.stderr


def test_calls_of_several_jobs_share_files(tmp_path: Path) -> None:
    large = b"f" * 300_000
    jobs = [(b"f", b"1"), (b"f", b"2"), (large, b"3"), (large, b"4"), (b"g", b"5" * 200_000)]
    jobs.append((b"g", b"6" * 200_000))
    packs = packs_of(jobs)

    assert [len(one.calls) for one in packs] == [2, 2, 1, 1]
    assert [bool(one.function) for one in packs] == [False, True, False, False]
    assert [pair for one in packs for pair in pickle.loads(one.content())] == [
        (b"" if function == large else function, calls) for function, calls in jobs
    ]


def test_the_runner_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    first = write_runner(tmp_path).read_bytes()

    assert write_runner(tmp_path).read_bytes() == first


def test_without_cloudpickle_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(MissingPackage, match="pip install cloudpickle"):
        CallPickler()
