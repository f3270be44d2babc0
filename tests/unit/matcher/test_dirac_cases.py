"""The cases of DIRAC's own suite of its task queues, as tables: which jobs a pilot could be given.

Jobs and pilots are words. What DIRAC says with several platforms of one job are alternatives here;
several platforms of a pilot are the table of what its platform also runs. DIRAC's ANY is ANY.
"""

from typing import Any

import pytest

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need
from tests.matcher.rule import first_fitting

from .makes import offer, spec

COMPATIBLE = {
    "centos8": ("centos7", "slc6"),
    "slc6+slc5": ("slc6", "slc5"),
    "centos7+slc6": ("centos7", "slc6"),
    "all-three": ("slc6", "centos7", "ubuntu"),
}

# Jobs, a line each; then pilots and the jobs that each could be given.
STORIES = {
    "sites and banned sites": """
        A
        B  sites=CERN
        C  sites=CERN,IN2P3
        D  banned=CERN
        E  banned=CERN,IN2P3
        F  sites=CERN,IN2P3 banned=CERN
        G  sites=DESY element=ce7
        -
        site=CERN                       A B C
        site=IN2P3                      A C D F
        site=DESY element=ce7           A D E G
        site=DESY element=ce8           A D E
        site=RAL element=ce7            A D E
        site=cern                       A D E
        site=ANY element=ce7            A B C D E F G
        site=ANY element=ce8            A B C D E F
        site=ANY element=ANY            A B C D E F G
    """,
    "platforms": """
        A  os=centos7
        B  os=centos7
        C  os=ubuntu
        D  os=centos7|slc6
        E  os=debian|ubuntu
        -
        os=centos7                      A B D
        os=ubuntu                       C E
        os=debian                       E
        os=slc6                         D
        os=slc5
        os=ANY                          A B C D E
        os=slc6+slc5                    D
        os=all-three                    A B C D E
        os=centos8                      A B D
    """,
    "platforms, and a job that asks for none": """
        A  os=centos7
        C  os=ubuntu
        D  os=centos7|slc6
        E  os=debian|ubuntu
        F
        -
        os=slc5                         F
        os=slc6                         D F
        os=slc6+slc5                    D F
        os=all-three                    A C D E F
        os=ANY                          A C D E F
        os=any                          F
    """,
    "tags": """
        A  tags=MultiProcessor
        B  tags=SingleProcessor
        C  tags=SingleProcessor&MultiProcessor
        D  tags=MultiProcessor&GPU
        E
        -
        tags=ANY                        A B C D E
        -                               E
        tags=MultiProcessor             A E
        tags=SingleProcessor            B E
        tags=MultiProcessor,GPU         A D E
        tags=GPU                        E
        tags=SingleProcessor,MultiProcessor  A B C E
        tags=4Processors                E
        tags=multiprocessor             E
    """,
    "required tags": """
        A  tags=MultiProcessor
        B  tags=SingleProcessor
        C  tags=SingleProcessor&MultiProcessor
        D  tags=MultiProcessor&GPU
        E
        -
        tags=ANY required=MultiProcessor                  A C D
        required=MultiProcessor                           A
        tags=GPU required=MultiProcessor                  A D
        tags=MultiProcessor,GPU required=MultiProcessor   A D
        tags=ANY required=MultiProcessor,GPU              D
        required=GPU
        tags=ANY required=WholeNode
    """,
    "tags and platforms": """
        A  os=centos7
        B  tags=MultiProcessor
        C  os=centos7 tags=MultiProcessor
        D  os=slc6 tags=MultiProcessor
        -
        os=ANY tags=ANY                 A B C D
        os=centos7 tags=ANY             A B C
        os=centos7                      A
        os=centos7 tags=MultiProcessor  A B C
        os=slc6 tags=MultiProcessor     B D
        os=slc6
        os=slc5 tags=MultiProcessor     B
        os=ANY tags=MultiProcessor      A B C D
        os=ANY                          A
    """,
    "groups, sites, platforms and time together": """
        A  group=admin sites=Site_1,Site_2 os=centos7
        B  group=prod sites=Site_1 os=slc6|centos7
        C  group=user sites=Site_2 os=slc6|centos7
        D  group=user sites=Site_1,Site_2 os=ubuntu
        E  group=user sites=Site_1,Site_2
        -
        site=ANY os=centos7+slc6 groups=admin,prod,user     A B C E
        site=ANY os=ubuntu groups=admin,prod,user           D E
        site=ANY os=all-three groups=prod,user              B C D E
        site=ANY os=centos7+slc6 groups=prod,user           B C E
        site=Site_1 os=centos7+slc6 groups=prod,user        B E
        site=Site_2 os=centos7+slc6 groups=prod,user        C E
        site=Site_1 os=slc6 groups=admin                    -
        site=Site_3 os=centos7+slc6
        site=ANY os=centos7+slc6 groups=prod,user wall=10
        site=ANY os=ANY groups=admin,prod,user              A B C D E
        site=ANY os=ANY groups=prod                         B
    """,
    "owners, groups and communities": """
        A  group=prod owner=ada
        B  group=prod owner=bob
        C  group=user owner=ada
        D  group=prod owner=ada community=lhcb
        -
        -                               A B C
        owners=ada                      A C
        groups=prod                     A B
        groups=prod owners=bob          B
        groups=prod,user owners=ada     A C
        groups=ANY owners=ANY           A B C
        community=lhcb                  D
        community=lhcb groups=user
        owners=eve
    """,
    "types": """
        A  type=User
        B  type=Test
        C  type=MCSimulation
        -
        -                               A B C
        types=Test                      B
        types=User,MCSimulation         A C
        types=ANY                       A B C
        types=Merge
    """,
    "CPU work and wall time": """
        A  wall=3600
        B  wall=86400
        C  work=1000 wall=60
        D  work=8000 cores=8 wall=60
        -
        wall=100000                     A B
        wall=86400                      A B
        wall=86399                      A
        wall=3599
        wall=3600 work=1000             A C D
        wall=3600 work=999              A
        wall=60 work=9999               C D
        wall=59 work=9999
    """,
    "processors and memory": """
        A
        B  cores=4
        C  cores=8
        D  cores=2 memory=4000
        E  memory=2000 per_core=1000
        F  whole
        -
        cores=1                         A E F
        cores=4                         A B D E F
        cores=8                         A B C D E F
        cores=8 free=7                  A B D E
        cores=8 memory=3999             A B C E F
        cores=8 memory=2999             A B C F
    """,
}

_NEED = {
    "element": "element",
    "cores": "cores_min",
    "memory": "memory_mb",
    "per_core": "memory_per_core_mb",
    "wall": "wall_s",
    "work": "cpu_work_hs23_s",
}
_OFFER = {
    "free": "cores_free",
    "memory": "memory_free_mb",
    "wall": "wall_left_s",
    "work": "core_work_left_hs23_s",
    "required": "required_tags",
}


def pairs(words: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def job_of(number: int, words: list[str]) -> ClassSpec:
    """Return a class of one job; several platforms are as many alternatives."""
    given = pairs(words)
    need: dict[str, Any] = {"wall_s": 60, "whole_node": "whole" in given}
    for name, field in _NEED.items():
        if name in given:
            need[field] = given[name] if name == "element" else int(given[name])
    need["sites"] = tuple(given["sites"].split(",")) if "sites" in given else ()
    need["banned_sites"] = tuple(given["banned"].split(",")) if "banned" in given else ()
    need["tags"] = given.get("tags", "")
    platforms = given.get("os", "").split("|")
    whose = {name: given[name] for name in ("group", "owner", "type", "community") if name in given}
    return spec(number, *(Need(os=platform, **need) for platform in platforms), **whose)


def offer_of(words: list[str]) -> LiveOffer:
    given: dict[str, Any] = {_OFFER.get(name, name): value for name, value in pairs(words).items()}
    for name in ("tags", "required_tags", "groups", "owners", "types"):
        if name in given:
            given[name] = frozenset(given[name].split(","))
    for name in ("cores", "cores_free", "memory_free_mb", "wall_left_s", "core_work_left_hs23_s"):
        if name in given:
            given[name] = int(given[name])
    given.setdefault("cores_free", given.get("cores", 8))
    return offer(**given)


def told(story: str) -> tuple[dict[str, ClassSpec], list[tuple[LiveOffer, str]]]:
    """Return the jobs by letter, and each pilot with the letters that it is to be given."""
    lines = [line.split() for line in story.strip().splitlines()]
    split = lines.index(["-"])
    jobs = {line[0]: job_of(at, line[1:]) for at, line in enumerate(lines[:split], 1)}
    pilots: list[tuple[LiveOffer, str]] = []
    for line in lines[split + 1 :]:
        words = [word for word in line if "=" in word]
        pilots.append((offer_of(words), "".join(word for word in line if word in jobs)))
    return jobs, pilots


@pytest.mark.parametrize("name", STORIES)
def test_a_pilot_is_given_what_the_tables_say(name: str) -> None:
    jobs, pilots = told(STORIES[name])
    for there, expected in pilots:
        found = ""
        for letter, its in jobs.items():
            matcher = Matcher(Rules(compatible=COMPATIBLE))
            matcher.add_class(its)
            matcher.add(its.class_id, 5, [7])
            fits = first_fitting(its, there, clauses=matcher.clauses) is not None
            assert bool(matcher.match(there, 1, 0.0)) == fits
            found += letter if fits else ""

        assert found == expected, there


@pytest.mark.parametrize("name", STORIES)
def test_it_is_the_same_with_all_jobs_in_one_queue(name: str) -> None:
    jobs, pilots = told(STORIES[name])
    matcher = Matcher(Rules(compatible=COMPATIBLE))
    for its in jobs.values():
        matcher.add_class(its)
        matcher.add(its.class_id, 5, [its.class_id])
    for there, expected in pilots:
        found: list[int] = []
        while matches := matcher.match(there, 1, 0.0):
            found.append(matches[0].job)
        for job in found:
            matcher.put_back(job)

        letters = {its.class_id: letter for letter, its in jobs.items()}
        assert "".join(sorted(letters[job] for job in found)) == expected, there


def test_a_queue_lives_as_long_as_it_has_jobs() -> None:
    matcher = Matcher()
    its = spec(1, Need(banned_sites=("CERN", "IN2P3"), wall_s=50_000))
    matcher.add_class(its)
    matcher.add(1, 10, [123, 125])

    assert 123 in matcher and not matcher.forget_class(1)

    assert matcher.remove(123)

    assert 123 not in matcher and not matcher.forget_class(1)

    matches = matcher.match(offer(wall_left_s=300_000), 5, 0.0)
    matcher.confirm(125)
    matcher.ended(125)

    assert [match.job for match in matches] == [125]
    assert matcher.forget_class(1) and not len(matcher)
