"""The exact rule, clause by clause, as tables; the index is asked the same questions."""

from typing import Any

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.index.exact_fit import grant
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import LiveOffer
from pilotage.proto.documents.job import Need
from tests.matcher import rule

from .makes import offer, spec

ALL = "sites,banned_sites,cores,memory,wall,scratch,tags"
COMPATIBLE = {"el9": ("el9", "el8"), "el8": ("el7",)}

#    cores  memory  wall  scratch  sites     banned  tags          misfits
NEEDS = """
     1      0       60    0        -         -       -             -
     8      16000   7200  10000    PIC,CSCS  -       cvmfs         -
     9      0       60    0        -         -       -             cores
     1      16001   7201  0        -         -       -             memory,wall
     1      16000   7200  10001    -         -       -             scratch
     1      0       60    0        CSCS      -       -             sites
     1      0       60    0        -         PIC     -             banned_sites
     1      0       60    0        -         CSCS    -             -
     1      0       60    0        PIC       PIC     -             banned_sites
     1      0       60    0        pic       -       -             sites
     1      0       60    0        -         -       gpu           tags
     1      0       60    0        -         -       cvmfs&~gpu    -
     1      0       60    0        -         -       ~cvmfs        tags
     16     99999   9999  99999    CSCS      PIC     gpu           ALL
"""

#    wanted by the job  offered  misfits
PLATFORMS = """
     -                  el9      -
     el9                el9      -
     el8                el9      -
     el7                el9      os
     el9                el8      os
     el7                el8      -
     debian13           debian13 -
     debian13           el9      os
     el9                -        os
"""

#    cores  base  per core  cores free  memory free  misfits       granted
SIZES = """
     1      0     0         1           0            -             1
     1-8    0     0         4           0            -             4
     1-8    0     0         16          0            -             8
     2-8    0     0         1           0            cores         -
     4      1000  2000      4           9000         -             4
     4      1000  2000      4           8999         memory        -
     1-8    1000  2000      8           9000         -             4
     1-8    1000  2000      8           9001         -             4
     1-8    1000  2000      8           10999        -             4
     1-8    1000  2000      8           11000        -             5
     1-8    1000  2000      8           99000        -             8
     2-8    1000  2000      8           4999         memory        -
     2-8    1000  2000      8           5000         -             2
     1-8    5000  0         8           5000         -             8
     4-2    0     0         8           0            -             4
     4      8000  0         2           4000         cores,memory  -
"""

#    offer's groups  offer's owners  offer's community  misfits
ACCEPTED = """
     -               -               ctao               -
     sim             -               ctao               -
     dpps,sim        -               ctao               -
     dpps            -               ctao               group
     -               ada             ctao               -
     -               bob             ctao               owner
     sim             ada,bob         ctao               -
     dpps            bob             ctao               group,owner
     -               -               lhcb               community
     sim             ada             lhcb               community
"""

#    tags of the job  tags of the offer  required by it  misfits
REQUIRED = """
     -                -                  -               -
     -                gpu                gpu             required_tags
     gpu              gpu                gpu             -
     gpu              -                  gpu             -
     gpu|big          gpu                gpu             -
     gpu              gpu,big            gpu,big         required_tags
     gpu&big          gpu,big            gpu,big         -
     ~gpu             gpu                gpu             tags,required_tags
     cvmfs            cvmfs,gpu          gpu             required_tags
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.split("\n") if line.strip()]


def words(cell: str) -> list[str]:
    return [] if cell == "-" else cell.split(",")


def text(cell: str) -> str:
    return "" if cell == "-" else cell


def misfits(need: Need, there: LiveOffer, **of_class: Any) -> list[str]:
    """Ask the rule, and see that the matcher decides the same way."""
    matcher = Matcher(Rules(compatible=COMPATIBLE))
    its = spec(1, need, **of_class)
    matcher.add_class(its)
    matcher.add(1, 5, [7])
    explained = matcher.explain(7, its, [there], 0.0)
    matched = matcher.match(there, 1, 0.0)
    found = {obstacle.clause for obstacle in explained.obstacles}
    assert bool(matched) == (not found) == bool(explained.fitting)
    of_need = rule.misfits(need, there, clauses=matcher.clauses)
    assert found - {"community", "group", "owner"} == set(of_need)
    return [name for name in ("community", "group", "owner") if name in found] + of_need


@pytest.mark.parametrize(
    ("cores", "memory", "wall", "scratch", "sites", "banned", "tags", "refused"), rows(NEEDS)
)
def test_each_clause_refuses_by_itself_and_by_its_name(
    cores: str,
    memory: str,
    wall: str,
    scratch: str,
    sites: str,
    banned: str,
    tags: str,
    refused: str,
) -> None:
    need = Need(
        cores_min=int(cores),
        memory_mb=int(memory),
        wall_s=int(wall),
        scratch_mb=int(scratch),
        sites=tuple(words(sites)),
        banned_sites=tuple(words(banned)),
        tags=text(tags),
    )
    there = offer(site="PIC", wall_left_s=7200.0, tags=frozenset(["cvmfs"]))

    assert misfits(need, there) == words(refused.replace("ALL", ALL))


@pytest.mark.parametrize(("wanted", "offered", "refused"), rows(PLATFORMS))
def test_a_platform_runs_what_the_table_lists_for_it_and_nothing_through_others(
    wanted: str, offered: str, refused: str
) -> None:
    assert misfits(Need(os=text(wanted)), offer(os=text(offered))) == words(refused)


@pytest.mark.parametrize(
    ("cores", "base", "per_core", "cores_free", "memory_free", "refused", "granted"), rows(SIZES)
)
def test_memory_is_a_base_and_a_part_per_core_and_bounds_the_cores(
    cores: str,
    base: str,
    per_core: str,
    cores_free: str,
    memory_free: str,
    refused: str,
    granted: str,
) -> None:
    least, _, most = cores.partition("-")
    need = Need(
        cores_min=int(least),
        cores_max=int(most or 0),
        memory_mb=int(base),
        memory_per_core_mb=int(per_core),
    )
    there = offer(cores_free=int(cores_free), memory_free_mb=int(memory_free))

    assert misfits(need, there) == words(refused)
    if granted != "-":
        its = grant(need, there)
        assert its.cores == int(granted)
        assert its.memory_mb == int(base) + int(per_core) * int(granted) <= int(memory_free)


@pytest.mark.parametrize(("groups", "owners", "community", "refused"), rows(ACCEPTED))
def test_an_offer_says_whose_jobs_it_takes_and_communities_never_mix(
    groups: str, owners: str, community: str, refused: str
) -> None:
    there = offer(
        groups=frozenset(words(groups)), owners=frozenset(words(owners)), community=community
    )

    assert misfits(Need(), there, group="sim", owner="ada") == words(refused)


@pytest.mark.parametrize(("tags", "offered", "required", "refused"), rows(REQUIRED))
def test_required_tags_take_only_jobs_that_ask_for_all_of_them(
    tags: str, offered: str, required: str, refused: str
) -> None:
    there = offer(tags=frozenset(words(offered)), required_tags=frozenset(words(required)))

    assert misfits(Need(tags=text(tags)), there) == words(refused)


def test_element_and_architecture_are_met_exactly_or_not_asked() -> None:
    assert misfits(Need(element="ce1", architecture="x86_64"), offer()) == []
    assert misfits(Need(element="ce2"), offer()) == ["element"]
    assert misfits(Need(architecture="aarch64"), offer()) == ["architecture"]


def test_one_alternative_is_enough_and_the_first_that_fits_is_taken() -> None:
    needs = (Need(sites=("CSCS",), cores_min=8), Need(cores_min=2, wall_s=600), Need(cores_min=1))
    matcher = Matcher()
    matcher.add_class(spec(1, *needs))
    matcher.add(1, 5, [1, 2, 3])

    at_cscs = matcher.match(offer(site="CSCS"), 1, 0.0)
    at_pic = matcher.match(offer(site="PIC"), 1, 0.0)
    at_small = matcher.match(offer(site="PIC", cores_free=1), 1, 0.0)

    assert [match.grant.cores for match in at_cscs + at_pic + at_small] == [8, 2, 1]
    assert at_pic[0].grant.wall_s == 600
