"""The picture on the page of productions is what `prod graph --svg` draws."""

from .production_graph import PICTURE, drawn


def test_the_picture_is_up_to_date() -> None:
    shown = PICTURE.read_text(encoding="utf-8")

    assert shown == drawn(), "docs/prod6.svg is old: make docs"
