"""A wrong word is refused with the right one, or with those that are known."""

from pilotage.proto.decoding.nearest_words import NAMED_MAX, unknown


def test_of_few_words_all_are_named() -> None:
    assert unknown("x", ["make", "join"], what="step") == "unknown step 'x': known are join, make"
    assert unknown("mak", ["make", "join"]) == "unknown key 'mak': did you mean 'make'?"


def test_of_many_words_the_nearest_are_named_first_and_how_many_more_there_are() -> None:
    names = [f"step{i:04}" for i in range(1_000)] + ["zq"]
    said = unknown("zqqqqq", names, what="step")

    before, _, listed = said.partition(": known are zq, ")
    assert before == "unknown step 'zqqqqq'"
    assert listed.count(",") == NAMED_MAX - 2
    assert listed.endswith(" and 989 more")


def test_a_long_word_is_not_told_whole() -> None:
    assert len(unknown("x" * 10_000, ["y" * 10_000])) < 250


def test_of_nothing_it_is_said_that_there_is_none() -> None:
    assert unknown("users:a", [], what="dataset") == "unknown dataset 'users:a': there is none yet"


def test_a_word_of_a_part_is_told_its_place() -> None:
    parts = {"needs": ["memory_mb", "wall_s"], "limits": ["cpu_s"]}

    assert unknown("memory", ["name", "key"], parts=parts) == (
        "unknown key 'memory': it belongs in `needs`: did you mean `needs.memory_mb`?"
    )
    assert unknown("nam", ["name", "key"], parts=parts) == "unknown key 'nam': did you mean 'name'?"
