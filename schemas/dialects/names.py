"""The dialects of deliveries, by the names under which they are stored.

Owns the list, and which of them an endpoint may be given. Used wherever a dialect is chosen.
"""

from enum import StrEnum
from typing import Final


class Dialect(StrEnum):
    """How one delivery is written and signed."""

    #: GET with `event=…&userID=…` behind the registered URL.
    DRAFT = "draft"
    #: POST of a form as bbb-webhooks sends it; SHA-1, unless the name says another signature.
    WEBHOOKS = "webhooks"
    WEBHOOKS_SHA256 = "webhooks-sha256"
    WEBHOOKS_SHA384 = "webhooks-sha384"
    WEBHOOKS_SHA512 = "webhooks-sha512"
    #: The signature of bbb-webhooks 2 (BigBlueButton 2.6 and older).
    WEBHOOKS_V2 = "webhooks-v2"
    #: No signature, the secret itself in the header `Authorization`.
    WEBHOOKS_BEARER = "webhooks-bearer"
    #: POST of a CloudEvent with the headers of Standard Webhooks.
    SIGNED = "signed"
    #: GET of `meta_endCallbackUrl` or `meetingEndedURL`.
    CALLBACK = "callback"
    #: POST of `meta_bbb-recording-ready-url`.
    RECORDING_READY = "recording-ready"
    #: POST of `meta_analytics-callback-url`.
    ANALYTICS = "analytics"


#: What an endpoint may speak; the others belong to the callbacks of a create call.
OF_ENDPOINTS: Final = tuple(
    dialect
    for dialect in Dialect
    if dialect not in (Dialect.CALLBACK, Dialect.RECORDING_READY, Dialect.ANALYTICS)
)
#: The ones that carry the documents of bbb-webhooks.
OF_WEBHOOKS: Final = frozenset(dialect for dialect in Dialect if dialect.startswith("webhooks"))
