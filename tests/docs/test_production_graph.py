"""The picture on the page of productions is what `prod graph --svg` draws."""

from .production_graph import PICTURE, drawn


def test_the_picture_is_up_to_date() -> None:
    shown = PICTURE.read_text(encoding="utf-8")

    assert shown == drawn(), "python -m tests.docs.production_graph writes it"
