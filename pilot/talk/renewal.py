"""The renewal secret on the pilot's side: each use is in the journal before it is sent.

One nonce is drawn for each secret. It is sent with that secret until the central has answered, by
the next life too. Two nonces with one secret would look like a thief, and the central would end
the pilot.
"""

from dataclasses import replace

from pilotage.proto.wire import decode, encode

from ..journal_entries import Identity
from ..ports import Journal, Randomness

NOBODY = Identity("")


class Superseded(Exception):
    """Another life of this pilot writes to our journal: it speaks for the pilot now."""


class Renewal:
    """Who we are, in memory and in the journal."""

    def __init__(self, journal: Journal, random: Randomness) -> None:
        self._journal, self._random = journal, random
        self._who = self._kept = NOBODY
        self._told = ""  # the second nonce, which tells the central that there are two of us

    @property
    def who(self) -> Identity:
        return self._who

    def keep(self, who: Identity) -> None:
        """Be `who` from now on. Raises OSError: the journal does not take it, nothing changes."""
        self._journal.keep_identity(encode(who))
        self._who = self._kept = who

    def restored(self, who: Identity) -> None:
        """Take the identity from the journal."""
        self._who = self._kept = who

    def is_ours(self) -> bool:
        """Whether the journal still says what we have written."""
        kept = self._journal.identity()
        return kept is None or decode(Identity, kept) == self._kept

    def use(self, *, unkept: bool = False) -> tuple[str, str]:
        """Return the secret and the nonce to send.

        Raises OSError if the journal does not take the nonce. With `unkept` it is returned all the
        same: a pilot that dies then and comes back is taken for a thief. Raises Superseded.
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
        """The use of a secret was answered with the next one; with none the use stays open."""
        who = self._who
        if session:
            who = replace(who, session=session)
        if given not in ("", used) and who.renewal_secret == used:
            who = replace(who, renewal_secret=given, renewal_nonce="")
        if who != self._kept:
            try:
                self.keep(who)
            except OSError:  # a full disk: the next use is kept together with its nonce
                self._who = who

    def tell(self, nonce: str) -> bool:
        """A use was refused: another process used the next secret. Say whether to repeat.

        The central takes our nonce for a late copy. A second nonce shows it that there are two.
        """
        if nonce == self._told:
            return False
        self._told = self._random.token()
        return True
