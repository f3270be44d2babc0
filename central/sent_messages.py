"""Messages to pilots, as structs with the names, fields and JSON of the dataclasses.

Pilots use dataclasses, since they have no compiled packages. Making a frozen dataclass costs as
much as encoding it. The central makes some ten thousand a second, so here they are structs.
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
