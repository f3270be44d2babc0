"""What the frame makes of a function: a command with its options, answers and exit code."""

import inspect

import pytest

from pilotage.central.cli.command_frame import (
    Answers,
    CentralConnection,
    CommandResult,
    Made,
    changes,
    reads,
)
from pilotage.central.cli.exit_codes import ExitCode, UsageError
from pilotage.central.cli.options import CommonOptions

from .stub_client import give


@reads
async def one(client: str, word: str, /, *, loud: bool = False) -> CommandResult:
    """Say a word."""
    return CommandResult({"word": word}, lambda _: print(client, word.upper() if loud else word))


@changes
async def several(client: str, *codes: int) -> Answers:
    for code in codes:
        yield CommandResult({"code": code}, f"code {code}", code)
    yield CommandResult(None, "for people")
    yield CommandResult("for programs")


@reads
async def checked(central: CentralConnection, word: str = "") -> Made:
    if not word:
        raise UsageError("say a word")
    return CommandResult(await central.client() is await central.client(), word)


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    give("they say", monkeypatch)


def test_a_command_has_its_own_options_and_the_shared_ones() -> None:
    assert list(inspect.signature(one).parameters) == ["word", "loud", "common"]
    assert one.__doc__ == "Say a word."


def test_an_answer_is_words_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert one("yes", loud=True) == ExitCode.OK
    assert one("yes", common=CommonOptions(json=True)) == ExitCode.OK

    assert capsys.readouterr().out == 'they say YES\n{"word":"yes"}\n'


def test_of_several_answers_the_greatest_code_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert several(0, 3, 1) == ExitCode.REFUSED
    assert capsys.readouterr().out == "code 0\ncode 3\ncode 1\nfor people\n"
    assert several(1, common=CommonOptions(json=True)) == ExitCode.FAILED
    assert capsys.readouterr().out == '{"code":1}\n"for programs"\n'


def test_a_command_line_is_refused_before_a_client_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked("twice", common=CommonOptions(json=True)) == ExitCode.OK
    assert capsys.readouterr().out == "true\n"  # it is the same client

    monkeypatch.undo()
    with pytest.raises(UsageError, match="say a word"):
        checked(common=CommonOptions(url="http://127.0.0.1:1", patience_s=0.0))
