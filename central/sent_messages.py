"""What the central says to pilots, as structs of the same names, fields and JSON.

The messages are dataclasses, since a pilot has no compiled packages; to make a frozen one costs as
much as to encode it. Here they are made some ten thousand times a second.
"""

from typing import TYPE_CHECKING

from pilotage.proto import messages

from .message_structs import like

if TYPE_CHECKING:
    from pilotage.proto.messages import (
        AskAnswer,
        Assignment,
        BeatAnswer,
        Down,
        Grant,
        ReportAnswer,
        TurnReply,
    )
else:
    AskAnswer = like(messages.AskAnswer)
    Assignment = like(messages.Assignment)
    BeatAnswer = like(messages.BeatAnswer)
    Down = like(messages.Down)
    Grant = like(messages.Grant)
    ReportAnswer = like(messages.ReportAnswer)
    TurnReply = like(messages.TurnReply)

__all__ = [
    "AskAnswer",
    "Assignment",
    "BeatAnswer",
    "Down",
    "Grant",
    "ReportAnswer",
    "TurnReply",
]
