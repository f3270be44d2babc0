"""What a driver or a source does not take is told with its line."""

from pathlib import Path

import pytest

from pilotage.central.factory.site_files.line_numbers import located

TEXT = """\
pledge: 1
elements:
  one: {kind: local}
  it:
    kind: slurm
    options:
      folder: /a
      extra:
        - --exclusive
        - 7
    credential:
      source: file
"""


@pytest.mark.parametrize(
    ("why", "line"),
    [
        ("kind: there is no driver 'slurm'", 5),
        ("options.folder: expected text", 7),
        ("options.extra[1]: expected text", 10),
        ("options.partition: is required and missing", 6),
        ("options.folder of slurm: what is within is told too", 7),
        ("credential.source: there is no source 'file'", 12),
        ("credential: an element of kind 'slurm' takes none", 11),
    ],
)
def test_the_line_is_that_of_the_field_or_of_what_is_around_it(
    why: str, line: int, tmp_path: Path
) -> None:
    file = tmp_path / "PIC.yaml"
    file.write_text(TEXT)

    assert located(file, "it", why) == f"{file}:{line}: elements.it.{why}"


@pytest.mark.parametrize("text", [None, "elements: [", "\0"])
def test_of_a_file_that_has_just_become_another_no_line_is_told(
    text: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "PIC.yaml"
    if text is not None:
        file.write_text(text)

    assert located(file, "it", "kind: no") == f"{file}: elements.it.kind: no"
