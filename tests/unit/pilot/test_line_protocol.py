"""What pilot and guard say to each other: the lean way reads and writes what `json` does."""

import json
import math
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from pilotage.pilot.guard import line_protocol
from tests.integration.interpreters import fit_minors

ROOT = Path(__file__).resolve().parents[3]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**53), max_value=2**53)
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
MESSAGES = st.dictionaries(st.text(), VALUES, max_size=6)
LEAN = """
import sys
sys.path[:0] = [sys.argv[1]]
from pilotage.pilot.guard import line_protocol as lines
said = {"attempt_id": 7, "fence": 1.5, "left": float("inf"), "argv": ["sh", "\\u00e9 \\n \\0"]}
line = lines.written(said)
assert lines.read(line) == said and line.count(b"\\n") == 1, line
"""
ALONE = LEAN + 'assert not {"json", "re"} & set(sys.modules)'
WITHOUT_C = LEAN.replace("sys.path[", 'sys.modules["_json"] = None\nsys.path[', 1)


@given(MESSAGES)
def test_a_message_is_one_line_of_json_and_comes_back(message: dict[str, object]) -> None:
    line = line_protocol.written(message)

    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line) == message == line_protocol.read(line)


def test_names_of_files_that_are_no_text_come_through() -> None:
    odd = {"folder": "/tmp/\udce9", "moment": math.inf, "before": -math.inf}

    assert line_protocol.read(line_protocol.written(odd)) == odd


def test_what_is_no_part_of_a_message_is_refused() -> None:
    with pytest.raises(TypeError):
        line_protocol.written({"path": Path()})


@pytest.mark.parametrize("code", [ALONE, WITHOUT_C], ids=["alone", "without C"])
@pytest.mark.parametrize("python", fit_minors())
def test_it_needs_no_json_package_where_there_is_c_code(python: str, code: str) -> None:
    done = subprocess.run(
        [python, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 0, done.stderr
