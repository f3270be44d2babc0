"""The port through which the central speaks to a Rucio server."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .files import RucioEntry


class RucioAway(Exception):
    """The server did not answer, stopped in the middle, or takes no token now. Ask again later."""


class RucioFailed(RucioAway):
    """The server failed inside. Its database may be away, or it cannot do what it was asked."""


class RucioRefused(Exception):
    """The server refused a request. The same request will be refused again.

    `kind` is the class of Rucio's exception, such as `DataIdentifierNotFound`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


class RucioApi(Protocol):
    """Requests to one server, with the token of its file.

    A path begins with "/" and is below the server's URL. Requests follow no redirects and are not
    repeated. All raise RucioAway and RucioRefused.
    """

    async def get(self, path: str) -> Any:
        """Return the JSON value at a path."""
        ...

    async def post(self, path: str, body: object) -> None:
        """Send a JSON value."""
        ...

    async def lines(
        self, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Sequence[Any]:
        """Return all JSON values of a stream, one a line. The request is a GET without a `body`.

        A stream that ends too early raises RucioAway.
        """
        ...


Connect = Callable[[str, RucioEntry], RucioApi]  # name and content of a server's file
