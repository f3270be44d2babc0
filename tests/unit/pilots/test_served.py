"""Which pilots a central of some version serves: a table."""

import msgspec
import pytest

from pilotage.central.pilots.protocol_versions import serves
from pilotage.proto import wire
from pilotage.proto.messages import PROTOCOL_UNSAID, Hello, Register

#    the central's   the pilot's   served
TABLE = """
     1.0             1.0           yes
     1.1             1.0           yes
     1.2             1.0           -
     1.0             1.1           yes
     1.0             1.7           yes
     1.10            1.9           yes
     1.10            1.8           -
     2.0             1.9           -
     1.0             2.0           -
     1.0             0.9           -
     1.0             1             -
     1.0             1.0.0         -
     1.0             1.x           -
     1.0             １.0           -
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_pilot_outlives_one_upgrade(line: str) -> None:
    ours, theirs, served = line.split()

    assert serves(theirs, ours) == (served == "yes")


@pytest.mark.parametrize(
    "word", [Register("s", "n", protocol="1.7"), Hello("p", "r", "n", (), "1.7")]
)
def test_a_version_arrives_and_one_that_is_not_said_is_the_first(word: Register | Hello) -> None:
    said = msgspec.json.decode(wire.encode(word), type=type(word))
    unsaid = msgspec.json.decode(b'{"secret":"s","nonce":"n","pilot":"p","renewal_secret":"r"}',
                                 type=type(word))  # fmt: skip

    assert said.protocol == "1.7"
    assert unsaid.protocol == PROTOCOL_UNSAID == "1.0"
