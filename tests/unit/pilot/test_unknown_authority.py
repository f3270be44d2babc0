"""A server whose authority is unknown: the reason says where authorities may be."""

import ssl

from pilotage.pilot.data.http_requests import cleared, reason_of

WORDS = (
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in "
    "certificate chain (_ssl.c:1029)"
)


def test_an_unknown_authority_is_told_where_to_be() -> None:
    unknown = ssl.SSLCertVerificationError(1, WORDS)
    unknown.verify_code = 19
    other = ssl.SSLCertVerificationError(1, "Hostname mismatch")
    other.verify_code = 62

    assert cleared(reason_of(unknown), ()).endswith("or the folder X509_CERT_DIR have it")
    assert "X509_CERT_DIR" not in reason_of(other)
