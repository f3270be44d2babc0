"""Lines of the resource curve, as pilots write them and as they may arrive."""

from pilotage.proto.curve import UsageSample, sample_of, samples

ONE, TWO = UsageSample(0.1, 0.05, 12.5, 0.0, 1), UsageSample(1.0, 0.9, 120.4, 3.25, 4)
NO_SAMPLES = [
    "",
    "1.0 0.9 120.4 3.25",
    "1.0 0.9 120.4 3.25 4 5",
    "1.0 0.9 120.4 3.25 4.5",
    "1.0 0.9 much 3.25 4",
    "[1204 bytes were not sent]",
    "nan 0.9 120.4 3.25 4",
    "1.0 inf 120.4 3.25 4",
    "1.0 -0.9 120.4 3.25 4",
]


def test_a_line_of_five_numbers_is_a_sample_and_no_other() -> None:
    assert sample_of("1.0 0.9 120.4 3.25 4") == TWO
    assert [sample_of(line) for line in NO_SAMPLES] == [None] * len(NO_SAMPLES)


def test_what_is_no_sample_is_passed_over_and_the_rest_counts() -> None:
    text = "\n".join(["0.1 0.05 12.5 0 1", *NO_SAMPLES, "1.0 0.9 120.4 3.25 4", ""])

    assert samples(text) == [ONE, TWO]


def test_the_last_line_of_a_file_that_is_written_may_be_cut_off() -> None:
    text = "0.1 0.05 12.5 0 1\n1.0 0.9 120.4 3.25 4"

    assert samples(text) == [ONE, TWO]
    assert samples(text, whole=False) == [ONE]
    assert samples(text + "\n", whole=False) == [ONE, TWO]
