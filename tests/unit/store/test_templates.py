"""The templates of submissions that are kept in memory."""

from pilotage.central.store.session import Templates


def test_a_template_that_is_kept_again_counts_once() -> None:
    kept = Templates(bytes_max=3_000)
    for _ in range(100):
        kept.keep(1, b"x" * 800)
    kept.keep(2, b"y" * 800)
    kept.keep(3, b"z" * 800)

    assert [number for number in (1, 2, 3) if number in kept] == [1, 2, 3]


def test_the_oldest_templates_go_first_and_one_that_is_read_is_new() -> None:
    kept = Templates(bytes_max=2_000)
    kept.keep(1, b"x" * 800)
    kept.keep(2, b"y" * 800)
    assert kept.get(1) == b"x" * 800
    kept.keep(3, None)

    assert [number for number in (1, 2, 3) if number in kept] == [1, 3]
