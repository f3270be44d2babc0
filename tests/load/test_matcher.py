"""The matcher under load, compared with the committed result.

`python -m tests.load` measures anew and writes the result, on a quiet machine.
"""

import re

import msgspec
import pytest

from tests.bench.figures import Figure

from . import cases

THEN = msgspec.json.decode(cases.COMMITTED.read_bytes(), type=cases.Results)


# name                                unit         then     now  faster  is worse
TABLE = """
  LHCb                                  matches/s  100000   60000   1.0  no
  LHCb                                  matches/s  100000   40000   1.0  yes
  LHCb                                  matches/s  100000   40000   0.5  no
  LHCb p99                              µs             20      75   1.0  no
  LHCb p99                              µs             20      85   1.0  yes
  LHCb p99                              µs             20      85   0.5  no
  over HTTP                             jobs/s       7000    2000   1.0  no
  over HTTP                             jobs/s       7000    1000   1.0  yes
  process                               MB            250     600   0.1  yes
"""
ROW = re.compile(r" {2,}")


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_figure_is_worse_when_it_is_so_on_a_machine_of_this_speed(line: str) -> None:
    name, unit, then, now, faster, worse = ROW.split(line.strip())
    before = Figure(name=name, value=float(then), unit=unit)
    after = Figure(name=name, value=float(now), unit=unit)

    assert bool(cases.how_worse(after, before, float(faster))) is (worse == "yes")


@pytest.mark.parametrize("name", cases.SHORT)
def test_matching_is_as_fast_as_it_was(name: str) -> None:
    assert not cases.worse(name, THEN)


@pytest.mark.long
@pytest.mark.parametrize("name", cases.LONG)
def test_matching_of_millions_is_as_fast_as_it_was(name: str) -> None:
    assert not cases.worse(name, THEN)
