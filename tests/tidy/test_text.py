"""Text that holds for any machine, and scripts that at least parse."""

import re
import subprocess
from typing import Final

import pytest

from . import tree

# Written in parts, so that this file does not find itself.
MACHINE_PATHS: Final = re.compile(r"(?<![\w.])/(?:" + r"home/|" + r"root/|" + r"work/)\w")
TEXT: Final = (".py", ".md", ".toml", ".sql", ".yaml", ".yml", ".json", ".conf", ".sh")

SCRIPTS: Final = [
    name for name in tree.files() if name.startswith(("deploy/", ".ci/")) and "." not in name[4:]
]


def test_no_path_of_one_machine_stands_in_the_text() -> None:
    found = [
        f"{name}:{number} {line.strip()}"
        for name in tree.files()
        if name.endswith(TEXT) or name == "Makefile"
        for number, line in enumerate(tree.text(name).splitlines(), start=1)
        if MACHINE_PATHS.search(line)
    ]

    assert not found


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_shell_script_parses(script: str) -> None:
    shell = tree.text(script).splitlines()[0].split("/")[-1].split()[-1]
    checked = subprocess.run([shell, "-n", tree.ROOT / script], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr
