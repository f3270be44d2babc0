"""The renewal secret on the pilot's side: each use is in the journal before it is sent.

Each secret has one nonce. It is sent with that secret until the central has answered, also by a
later process. Two nonces with one secret would look like theft, and the central would end the
pilot.
"""

from dataclasses import replace

from pilotage.proto.wire import decode, encode

from ..journal_entries import Identity
from ..ports import Journal, Randomness

NOBODY = Identity("")


class Superseded(Exception):
    """Another process of this pilot writes to its journal, and speaks for the pilot now."""


class Renewal:
    """The pilot's identity, in memory and in the journal."""

    def __init__(self, journal: Journal, random: Randomness) -> None:
        self._journal, self._random = journal, random
        self._who = self._kept = NOBODY
        self._told = ""  # the second nonce, which tells the central that there are two processes

    @property
    def who(self) -> Identity:
        return self._who

    def keep(self, who: Identity) -> None:
        """Use the identity `who` from now on.

        After an OSError from the journal, nothing has changed.
        """
        self._journal.keep_identity(encode(who))
        self._who = self._kept = who

    def restored(self, who: Identity) -> None:
        """Read the identity from the journal."""
        self._who = self._kept = who

    def is_ours(self) -> bool:
        """Return whether the journal still contains what this process has written."""
        kept = self._journal.identity()
        return kept is None or decode(Identity, kept) == self._kept

    def use(self, *, unkept: bool = False) -> tuple[str, str]:
        """Return the secret and the nonce to send.

        Raises OSError if the journal does not accept the nonce. With `unkept`, it is returned
        nevertheless: if the pilot then dies and returns, it is taken for a thief. Raises
        Superseded.
        """
        if not self.is_ours():
            raise Superseded
        if self._told:
            return self._who.renewal_secret, self._told
        who = self._who
        if not who.renewal_nonce:
            who = replace(who, renewal_nonce=self._random.token())
        if who != self._kept:
            try:
                self.keep(who)
            except OSError:
                if not unkept:
                    raise
                self._who = who
        return who.renewal_secret, who.renewal_nonce

    def answered(self, used: str, given: str, session: int = 0) -> None:
        """Record the answer to a use of the secret; without a next secret, the use stays open."""
        who = self._who
        if session:
            who = replace(who, session=session)
        if given not in ("", used) and who.renewal_secret == used:
            who = replace(who, renewal_secret=given, renewal_nonce="")
        if who != self._kept:
            try:
                self.keep(who)
            except OSError:  # a full disk: the next use is stored together with its nonce
                self._who = who

    def tell(self, nonce: str) -> bool:
        """Handle a refused use: another process used the next secret. Return whether to repeat.

        The central takes this process's nonce for a late copy. A second nonce shows that there are
        two processes.
        """
        if nonce == self._told:
            return False
        self._told = self._random.token()
        return True
