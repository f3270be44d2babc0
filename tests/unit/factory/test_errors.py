"""The words of what is refused."""

import pytest

from pilotage.central.factory.errors import NoSuchDriver

KINDS = ["arc", "htcondor", "local", "slurm"]


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("slrum", "; did you mean 'slurm'?"), ("condor", "; did you mean 'htcondor'?"), ("sge", "")],
)
def test_a_kind_that_nobody_has_is_told_with_the_nearest(kind: str, hint: str) -> None:
    why = NoSuchDriver(kind, KINDS)

    assert (
        why.why == f"there is no driver {kind!r}; known drivers: arc, htcondor, local, slurm{hint}"
    )
    assert str(why) == f"kind: {why.why}"
