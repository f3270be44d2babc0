"""An entry that lacks parameters of its template is refused with a hint."""

from pilotage.central.dispatch.submissions.intake import lacking


def test_a_similar_name_is_taken_for_a_misspelling() -> None:
    assert lacking(frozenset({"mas"}), {"mass": 1}) == (
        "the template also uses mas; this entry has mass: is `mas` a misspelling of `mass`?"
    )


def test_braces_of_a_shell_program_are_told_how_to_write_them() -> None:
    assert lacking(frozenset({"mass", "print"}), {"mass": 1}) == (
        "the template also uses print; this entry has mass. "
        "Write literal braces, as in a shell program, as `{{` and `}}`"
    )
