"""Completion of the command line: what the scripts of the shells offer."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pilotage.central.cli.main import COMMANDS, run

BASH = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1))
for _ in {{1..10}}; do COMPREPLY=(); _pilotage; done
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Path]:
    made: dict[str, Path] = {}
    for shell in ("bash", "zsh", "fish"):
        assert run(["completion", shell]) == 0
        made[shell] = tmp_path / shell
        made[shell].write_text(capsys.readouterr().out)
    return made


def _in_bash(script: Path, words: Sequence[str]) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in words)
    text = BASH.format(script=script, words=quoted, count=len(words))
    # Without any program on the PATH: the script starts none.
    shell = ["/bin/bash", "--norc", "-c", text]
    return subprocess.run(
        shell, capture_output=True, text=True, check=True, env={"PATH": "/nonexistent"}
    ).stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (["su"], ["submit", "summary"]),
        (["pilot", "dr"], ["drain"]),
        (["submit", "--wall"], ["--wall", "--wall-s"]),
        (["submit", "--memory", "4GB", "--prio"], ["--priority"]),
        (["logs", "--stream", ""], ["stdout", "stderr"]),
        (["zzz"], []),
    ],
)
def test_bash_completes_commands_options_and_words(
    scripts: dict[str, Path], line: list[str], offered: list[str]
) -> None:
    assert _in_bash(scripts["bash"], ["pilotage", *line]) == offered


def test_ten_completions_take_less_than_a_second(scripts: dict[str, Path]) -> None:
    began = time.monotonic()

    _in_bash(scripts["bash"], ["pilotage", "submit", "--mem"])

    assert time.monotonic() - began < 1


def test_each_script_has_all_commands(scripts: dict[str, Path]) -> None:
    for script in scripts.values():
        text = script.read_text()
        assert all(name in text for name, *_ in COMMANDS)
        assert "--memory-per-core" in text
    assert scripts["zsh"].read_text().startswith("#compdef pilotage\n")
    assert "complete -c pilotage" in scripts["fish"].read_text()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_shell_reads_its_script(scripts: dict[str, Path], shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")

    subprocess.run([program, "-n", scripts[shell]], check=True)


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err
