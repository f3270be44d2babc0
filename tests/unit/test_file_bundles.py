"""Many files in one answer, cut at any place."""

import pytest

from pilotage.proto.api.file_bundles import MISSING, BundleReader, size_line

FILES = [b"one\n", b"", None, b"-\n", b"x" * 300]
TEXT = b"".join(MISSING if one is None else size_line(len(one)) + one for one in FILES)


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100, 1_000])
def test_files_come_whole_wherever_the_answer_is_cut(cut: int) -> None:
    reader = BundleReader()
    parts = [TEXT[at : at + cut] for at in range(0, len(TEXT), cut)]

    assert [file for part in parts for file in reader.read(part)] == FILES


def test_a_file_that_is_cut_off_never_comes() -> None:
    reader = BundleReader()

    assert list(reader.read(b"3\nabc5\nab")) == [b"abc"]
    assert list(reader.read(b"")) == []


@pytest.mark.parametrize("line", [b"x\n", b"-1\n", b"\n", b"1" * 30])
def test_a_line_that_is_no_size_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="size"):
        list(BundleReader().read(line))
