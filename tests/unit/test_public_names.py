"""Each name that `pilotage` offers is where it says."""

import pytest

import pilotage


@pytest.mark.parametrize("name", pilotage.__all__)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(pilotage, name) is not None
