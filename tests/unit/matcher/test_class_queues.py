"""The queue of a class against a plain sorted list."""

from array import array

from hypothesis import given, strategies as st

from pilotage.matcher.queue import class_queues
from pilotage.matcher.queue.class_queues import ClassQueue

JOBS = st.integers(0, 60)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), JOBS),
        st.tuples(st.just("leave"), JOBS),
        st.tuples(st.just("head"), JOBS),
        st.tuples(st.just("extend"), st.sets(JOBS, min_size=1)),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from([2, 3, 8, 2_048]))
def test_a_queue_is_a_sorted_list_whatever_comes_and_goes(
    steps: list[tuple[str, int | set[int]]], block: int
) -> None:
    plain, queue, before = list[int](), ClassQueue(), class_queues.BLOCK
    class_queues.BLOCK = block  # type: ignore[misc]
    try:
        for word, what in steps:
            apply(queue, plain, word, what)

            assert queue.ids() == sorted(plain)
            assert queue.waiting == len(plain)
            assert queue.head() == (min(plain) if plain else None)
            for job in (0, 30, 61):
                assert queue.older_than(job) == sum(its < job for its in plain)
    finally:
        class_queues.BLOCK = before  # type: ignore[misc]


def apply(queue: ClassQueue, plain: list[int], word: str, what: int | set[int]) -> None:
    if isinstance(what, set):
        new = sorted(what - set(plain))
        if new:
            plain.extend(new)
            queue.extend(array("q", new))
    elif word == "push" and what not in plain:
        plain.append(what)
        queue.push(what)
    elif plain and word != "push":
        job = min(plain) if word == "head" else plain[what % len(plain)]
        plain.remove(job)
        queue.leave(job)
