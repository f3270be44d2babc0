"""The common base of all state machines."""


class IllegalTransition(ValueError):
    """The table has no such move: the caller has a bug, or a peer is out of step."""

    def __init__(self, thing: str, state: str, event: str) -> None:
        super().__init__(f"a {thing} that is {state} cannot be {event}")
        self.thing, self.state, self.event = thing, state, event
