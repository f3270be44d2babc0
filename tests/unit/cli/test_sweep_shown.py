"""What `pilotage data sweep` refuses to answer with nothing."""

import pytest

from pilotage.central.cli.data.sweeps import counts_of, print_counts
from pilotage.central.cli.exit_codes import UsageError
from pilotage.proto.api.remnants import SweepCount, SweepView

FOUND = SweepView(after_s=5.0, storages=[SweepCount(storage="disk", takes_part=True)])


def test_a_storage_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown storage 'dsk': did you mean 'disk'"):
        counts_of(FOUND, "dsk")


def test_of_one_storage_alone_its_counts_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_counts(counts_of(FOUND, "disk"), FOUND.after_s)
    printed = capsys.readouterr()

    assert printed.out.splitlines()[1].split()[:2] == ["disk", "yes"]
    assert "wait 5 seconds" in printed.err
