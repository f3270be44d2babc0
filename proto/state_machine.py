"""What all state machines have in common."""


class IllegalTransition(ValueError):
    """The table has no such move: a bug of the caller, or a peer that is out of step."""

    def __init__(self, thing: str, state: str, event: str) -> None:
        super().__init__(f"a {thing} that is {state} cannot be {event}")
        self.thing, self.state, self.event = thing, state, event
