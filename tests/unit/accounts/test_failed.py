"""Failed attempts as they come together: each one, and of too many only how many there were."""

from pilotage.central.accounts.failed_attempts import WORDS_MAX, FailureTally
from pilotage.central.accounts.record_failures import FailedEnd
from pilotage.central.identity.scope import CountKey
from pilotage.proto.failures import FailureClass

ENDS_MAX = 60
KIND = CountKey("ctao", "dpps", "maria", "User")


def add(
    failed: FailureTally, job: int, said: str = "exit code 3", *, is_last: bool = False
) -> None:
    failed.add(KIND, 1, "PIC", FailureClass.PAYLOAD, job=job, is_last=is_last, said=said)


def counts(ends: list[FailedEnd]) -> tuple[int, int]:
    return sum(e.count for e in ends), sum(e.count for e in ends if e.is_last)


def test_exit_codes_stay_and_what_differs_from_attempt_to_attempt_goes() -> None:
    failed = FailureTally()

    add(failed, 1, "exit code 3")
    add(failed, 2, "no heartbeat for 51 s")
    add(failed, 3, "output: /tmp/a/b.h5 is empty")
    add(failed, 4, "signalled: signal 11")

    assert [end.word for end in failed.take()] == [
        "exit code 3",
        "no heartbeat for N s",
        "output: /P is empty",
        "signalled: signal 11",
    ]
    assert failed.take() == []


def test_of_too_many_the_numbers_are_kept() -> None:
    failed = FailureTally(ENDS_MAX)
    for job in range(ENDS_MAX + 30):
        add(failed, job + 1, is_last=job % 3 == 0)

    ends = failed.take()

    assert counts(ends) == (ENDS_MAX + 30, (ENDS_MAX + 30 + 2) // 3)
    assert len(ends) == ENDS_MAX + 2


def test_what_could_not_be_kept_comes_again_and_memory_stays_bounded() -> None:
    failed = FailureTally(ENDS_MAX)
    for _ in range(2):
        for job in range(ENDS_MAX):
            add(failed, job + 1)
        failed.give_back(failed.take())

    ends = failed.take()
    assert counts(ends) == (2 * ENDS_MAX, 0)
    assert len(ends) <= ENDS_MAX + 2


def test_words_that_differ_each_time_are_bounded() -> None:
    failed = FailureTally()
    for number in range(WORDS_MAX + 5):
        add(failed, number + 1, "x" * (number + 1) if number < 300 else f"{chr(33 + number)}!")

    assert len({end.word for end in failed.take()}) <= WORDS_MAX + 1
