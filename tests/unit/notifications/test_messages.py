"""What a message says, and that names cannot forge it."""

from email.message import EmailMessage

import msgspec

from pilotage.central.notifications import messages
from pilotage.central.notifications.messages import Cause, Notification
from pilotage.proto.api.notifications import NotifyEvent

ENDED = Notification(
    kind="submission",
    id=12,
    name="sweep",
    community="ctao",
    event=NotifyEvent.END,
    at=5.0,
    counts={"Done": 98, "Failed": 2},
    causes=(Cause(text="exited with code 1", count=2, job=40),),
)
EVIL = "x\r\nBcc: eve@example.org\u2028\u202e\x1b[31m\0\x85 y"


def test_a_message_says_what_happened_why_and_where_to_read_more() -> None:
    assert messages.subject([ENDED]) == (
        "[pilotage] submission 12 sweep has ended: 98 Done, 2 Failed"
    )
    assert (
        messages.text([ENDED], "https://wms.example.org/")
        == """\
Submission 12 sweep has ended: 98 Done, 2 Failed.

      98 Done
       2 Failed

Causes of failures:
       2 exited with code 1 (job 40)

More: pilotage status --submission 12 --state Failed
Link: https://wms.example.org/v1/jobs?submission=12

You asked for this message; `pilotage notify` shows and changes that.
"""
    )
    assert "Link" not in messages.text([ENDED], "")


def test_a_message_of_many_names_the_first_ones() -> None:
    many = [msgspec.structs.replace(ENDED, id=n) for n in range(1, 61)]

    assert messages.subject(many).endswith("2 Failed (and 59 others)")
    text = messages.text(many, "")
    assert "And 59 others:\n  submission 2 sweep has ended" in text and "submission 22" not in text
    sent = msgspec.json.decode(messages.as_json(many, "", "g-1"))
    assert (sent["delivery"], sent["id"], len(sent["others"])) == ("g-1", 1, 59)
    assert sent["text"] == messages.subject(many) and sent["link"] == ""


def test_a_name_stays_in_its_line() -> None:
    evil = msgspec.structs.replace(ENDED, name=EVIL, causes=(Cause(text=EVIL, count=1),))
    message = EmailMessage()
    message["Subject"] = messages.subject([evil])
    message.set_content(messages.text([evil], ""))

    assert message.keys() == [
        "Subject",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    ]
    assert messages.line(EVIL) == "x Bcc: eve@example.org [31m y"
    assert messages.text([evil], "").isprintable() is False  # of its own line ends alone
    assert messages.text([evil], "").replace("\n", "").isprintable()
    assert len(messages.line("w" * 900)) == messages.LINE_MAX
