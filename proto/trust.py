"""Verifies a server's certificate in the same way on all supported Python versions.

Stdlib only: the central, its clients and pilots all use it.
"""

import ssl
from typing import Optional


def trusting(ca_file: Optional[str] = None, ca_pem: Optional[str] = None) -> ssl.SSLContext:
    """Return the context of a client that trusts these authorities; None: those of the system.

    From Python 3.13 on, the default refuses certificates without some extensions that RFC 5280
    requires but private authorities often omit. A pilot would then reach the central from one node
    and not from the next, so this check is off. Signatures, names and dates are still verified.
    """
    context = ssl.create_default_context(  # noqa: TID251 - here alone
        cafile=ca_file or None, cadata=ca_pem or None
    )
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # the default of Python 3.9 is lower
    return context
