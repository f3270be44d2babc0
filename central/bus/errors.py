"""What can go wrong between the central and a broker."""


class BusError(Exception):
    """Base of all."""


class PortTaken(BusError):
    """The embedded broker cannot listen where it was told to. Choose another port, or 0."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"the embedded broker cannot listen on {host}:{port}: {why}")
        self.host, self.port = host, port


class BadName(BusError):
    """A community or pilot whose name would change the meaning of a topic. A bug in the caller."""

    def __init__(self, community: str, pilot: str) -> None:
        super().__init__(f"pilot {pilot!r} of community {community!r} has no topics of its own")


class SubscriptionRefused(BusError):
    """The broker lets us in but not read: our login there lacks a right. Reconnecting may help."""

    def __init__(self, topic_filter: str) -> None:
        super().__init__(f"the broker refuses us the subscription {topic_filter!r}")


class EntryRefused(BusError):
    """A client did not get into the embedded broker. `code` is the MQTT return code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
