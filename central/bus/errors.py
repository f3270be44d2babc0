"""Errors between the central and a broker."""


class BusError(Exception):
    """Base of all errors of the bus."""


class PortTaken(BusError):
    """The embedded broker cannot listen on its port. Choose another port, or 0."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(
            f"the embedded broker cannot listen on {host}:{port}: {why}; choose another port, or 0"
        )
        self.host, self.port = host, port


class BadName(BusError):
    """The name of a community or pilot would change the meaning of a topic. A caller's bug."""

    def __init__(self, community: str, pilot: str) -> None:
        super().__init__(f"pilot {pilot!r} of community {community!r} cannot have topics")


class SubscriptionRefused(BusError):
    """The broker accepts the login but no subscription: a right is missing. A retry may help."""

    def __init__(self, topic_filter: str) -> None:
        super().__init__(f"the broker refuses the subscription {topic_filter!r}; check our rights")


class EntryRefused(BusError):
    """The embedded broker refused a client. `code` is the MQTT return code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
