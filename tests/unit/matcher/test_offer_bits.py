"""Which of many offers take a class, and why others do not: as the exact rule says of each."""

import random

from pilotage.matcher.clauses.clause_table import table
from pilotage.matcher.explanation.offer_bits import OfferBits
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need
from tests.matcher.rule import first_fitting

CLAUSES = table({"el9": ("el8",)})


def an_offer(chance: random.Random, number: int) -> LiveOffer:
    cores = chance.choice([1, 8, 32])
    return LiveOffer(
        pilot="",
        community=chance.choice(["ctao", "lhcb"]),
        site=f"site{number % 7}",
        element=f"element{number}",
        os=chance.choice(["el9", "el8", "debian13", ""]),
        architecture=chance.choice(["x86_64", "aarch64"]),
        cores=cores,
        cores_free=cores,
        memory_free_mb=cores * chance.choice([1_000, 4_000]),
        wall_left_s=chance.choice([3_600.0, 86_400.0]),
        tags=frozenset(chance.sample(["a", "b", "c"], 2)),
        groups=frozenset(chance.choice([[], ["dpps"], ["sag", "dpps"]])),
        gpus=chance.choice([0, 2]),
        gpus_free=2,
    )


def a_need(chance: random.Random) -> Need:
    return Need(
        sites=tuple(chance.sample([f"site{n}" for n in range(7)], chance.choice([0, 0, 2]))),
        os=chance.choice(["", "el8", "el9"]),
        cores_min=chance.choice([1, 4, 16]),
        memory_mb=chance.choice([0, 2_000, 40_000]),
        wall_s=chance.choice([60, 40_000]),
        tags=chance.choice(["", "a", "a & ~b", "a | c"]),
        gpus_min=chance.choice([0, 0, 1]),
        whole_node=chance.random() < 0.1,
    )


def a_class(chance: random.Random, number: int) -> ClassSpec:
    return ClassSpec(
        class_id=number,
        community=chance.choice(["ctao", "lhcb"]),
        group=chance.choice(["dpps", "sag"]),
        owner="maria",
        type="User",
        needs=tuple(a_need(chance) for _ in range(chance.choice([1, 1, 3]))),
    )


def test_bits_are_where_the_exact_rule_lets_a_job_run() -> None:
    chance = random.Random(5)
    offers = [an_offer(chance, number) for number in range(40)]
    asked, at_once = OfferBits(CLAUSES, offers), OfferBits(CLAUSES, offers)
    specs = [a_class(chance, number) for number in range(400)]
    at_once.learn(specs[:300])
    at_once.learn(specs)
    found = 0
    for spec in specs:
        bits = asked.of(spec)
        fitting = [
            at
            for at, offer in enumerate(offers)
            if first_fitting(spec, offer, clauses=CLAUSES) is not None
        ]

        assert [at for at in range(40) if bits >> at & 1] == fitting
        assert asked.of(spec) == at_once.of(spec) == bits
        found += len(fitting)

    assert found > 400, "hardly anything fitted anything"
