"""The page on the command line leaves nothing out."""

import re

import pytest

from pilotage.central.cli.exit_codes import ExitCode
from pilotage.central.cli.main import build

from ..tidy import tree
from .command_line import CODES, commands

PAGE = tree.text("docs/cli.md")


@pytest.mark.parametrize("command", commands())
def test_each_command_has_its_entry(command: str) -> None:
    assert re.search(rf"^\*\*{command}\*\*( `[^`]+`)?: \w", PAGE, re.MULTILINE)


def test_each_exit_code_is_explained() -> None:
    assert set(CODES) == set(ExitCode)


@pytest.mark.parametrize("command", commands())
def test_each_command_says_what_it_does_and_what_its_options_mean(command: str) -> None:
    app = build()
    for word in command.split():
        app = app[word]

    assert app.help
    for argument in app.assemble_argument_collection():
        positional = not argument.name.startswith("-")
        assert argument.parameter.help or positional or not argument.show, argument.name
