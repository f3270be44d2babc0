"""A server whose authority is unknown: the reason says where authorities may be."""

import ssl

from pilotage.pilot.data.http_requests import reason_of


def test_an_unknown_authority_is_told_where_to_be() -> None:
    told = reason_of(ssl.SSLCertVerificationError("self-signed certificate"))

    assert "self-signed certificate" in told and "X509_CERT_DIR" in told
    assert "X509_CERT_DIR" not in reason_of(ConnectionRefusedError("no"))
