"""How a server's certificate is judged, the same by every Python that the project runs on.

Stdlib only: the central and its clients use it as pilots do.
"""

import ssl
from typing import Optional


def trusting(ca_file: Optional[str] = None, ca_pem: Optional[str] = None) -> ssl.SSLContext:
    """Return the context of a client that believes these authorities, without one the system's.

    From Python 3.13 on the default refuses certificates that leave out what only the letter of
    RFC 5280 asks for, as those of an authority of one's own often do: a pilot would reach the
    central from one node, and not from the next. All else is verified: signatures, names, dates.
    """
    context = ssl.create_default_context(  # noqa: TID251 - here alone
        cafile=ca_file or None, cadata=ca_pem or None
    )
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # Python 3.9 would take less
    return context
