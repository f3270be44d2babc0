"""What a process without the queue answers by itself; it asks the one that leads for the rest."""

from typing import Final

from ..identity.element_issuer import KEYS_PATH, METADATA_PATH

LOGS: Final = "/v1/jobs/{job_id}/logs/{stream}"
# What is stored, files, tokens, and what never changes. What changes the catalogue is the
# leader's, who knows what it has written there; so is all that is counted or steered in memory.
HERE: Final = frozenset(
    {
        ("POST", "/v1/submissions"),
        ("POST", "/v1/blobs/missing"),
        ("PUT", "/v1/blobs/{sha256}"),
        ("GET", "/v1/blobs/{sha256}"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/{job_id}"),
        ("GET", "/v1/jobs/{job_id}/history"),
        ("GET", "/v1/jobs/{job_id}/outputs"),
        ("GET", "/v1/jobs/{job_id}/outputs/{name:path}"),
        ("GET", LOGS),
        ("GET", "/v1/series"),
        ("GET", "/v1/accounts"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/failures"),
        ("POST", "/v1/data/find"),
        ("GET", "/v1/data/files"),
        ("POST", "/v1/data/replicas"),
        ("GET", "/v1/data/changes"),
        ("GET", "/v1/data/lineage"),
        ("GET", "/v1/data/datasets"),
        ("GET", "/v1/data/keys"),
        ("POST", "/v1/tokens"),
        ("GET", "/v1/tokens"),
        ("DELETE", "/v1/tokens/{jti}"),
        ("GET", "/v1/whoami"),
        ("GET", "/.well-known/jwks.json"),
        ("GET", METADATA_PATH),
        ("GET", KEYS_PATH),
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/pilot.pyz"),
        ("GET", "/pilot.pyz.sig"),
        ("GET", "/pilot.pem"),
        ("GET", "/pilot.json"),
        ("GET", "/pilot.sh"),
        ("GET", "/client"),
        ("GET", "/client/{name}"),
    }
)
