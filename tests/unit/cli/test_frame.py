"""What the frame makes of a function: a command with its options, answers and exit code."""

import inspect

import pytest

from pilotage.central.cli.exit_codes import Exit, UsageError
from pilotage.central.cli.frame import Answer, Answers, Central, Made, changes, reads
from pilotage.central.cli.options import Common

from .stub_client import give


@reads
async def one(client: str, word: str, /, *, loud: bool = False) -> Answer:
    """Say a word."""
    return Answer({"word": word}, lambda _: print(client, word.upper() if loud else word))


@changes
async def several(client: str, *codes: int) -> Answers:
    for code in codes:
        yield Answer({"code": code}, f"code {code}", code)
    yield Answer(None, "for people")
    yield Answer("for programs")


@reads
async def checked(central: Central, word: str = "") -> Made:
    if not word:
        raise UsageError("say a word")
    return Answer(await central.client() is await central.client(), word)


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    give("they say", monkeypatch)


def test_a_command_has_its_own_options_and_the_shared_ones() -> None:
    assert list(inspect.signature(one).parameters) == ["word", "loud", "common"]
    assert one.__doc__ == "Say a word."


def test_an_answer_is_words_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert one("yes", loud=True) == Exit.OK
    assert one("yes", common=Common(json=True)) == Exit.OK

    assert capsys.readouterr().out == 'they say YES\n{"word":"yes"}\n'


def test_of_several_answers_the_greatest_code_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert several(0, 3, 1) == Exit.REFUSED
    assert capsys.readouterr().out == "code 0\ncode 3\ncode 1\nfor people\n"
    assert several(1, common=Common(json=True)) == Exit.FAILED
    assert capsys.readouterr().out == '{"code":1}\n"for programs"\n'


def test_a_command_line_is_refused_before_a_client_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked("twice", common=Common(json=True)) == Exit.OK
    assert capsys.readouterr().out == "true\n"  # it is the same client

    monkeypatch.undo()
    with pytest.raises(UsageError, match="say a word"):
        checked(common=Common(url="http://127.0.0.1:1", patience_s=0.0))
