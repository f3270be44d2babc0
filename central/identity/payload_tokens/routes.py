"""The route of tokens for payloads."""

from typing import Final

from pilotage.proto.messages import PayloadTokenReply, PayloadTokenRequest

from ...http.call import Call
from ...http.route import Routes
from ..calls import attempt
from ..policy import Permission
from .service import PayloadTokens

ROUTES: Final = Routes[PayloadTokens]()


@ROUTES.add("POST", "/v1/attempts/token", Permission.PAYLOAD_TOKEN)
async def give(tokens: PayloadTokens, call: Call, body: PayloadTokenRequest) -> PayloadTokenReply:
    """Fetch a token that the job of a running attempt asks for, or its successor."""
    return await tokens.give(attempt(call), body)
