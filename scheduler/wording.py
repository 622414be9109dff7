"""How a subscription is spoken for: the language of its refusals, the provider's texts in chats.

Owns the choice between a subscription's own texts and those of the installation. Used by the
gateway for its callers and by the placement worker for refusals.
"""

import dataclasses
import functools
import html
from datetime import UTC, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from scheduler.directory_records import Credential, Directory, Subscription, terms_of
from scheduler.settings import Settings
from schemas import refusals
from schemas.refusals import Wording
from schemas.requested import Terms

#: What the texts of an installation are told in when there are none in the subscription's language.
_ELSE: Final = refusals.LANGUAGES[0]


def wording_of(subscription: Subscription, zone: tzinfo = UTC) -> Wording:
    """Return how refusals of a subscription are worded."""
    language = subscription.language
    return Wording(language, subscription.refusal_texts.get(language, {}), zone)


def wording_in(directory: Directory | None, credential_id: int, zone: tzinfo = UTC) -> Wording:
    """Return how refusals of a credential's calls are worded; an unknown one is told as others."""
    credential = None if directory is None else directory.credentials.get(credential_id)
    return refusals.PLAIN if credential is None else wording_of(credential.subscription, zone)


def spoken_terms(credential: Credential, settings: Settings) -> Terms:
    """Return the terms of a credential with the texts that its meetings begin with.

    A text of the subscription takes the place of the installation's. `{provider}` and
    `{subscription}` are filled in; what is known of a meeting alone stays for later.
    """
    terms = terms_of(credential)
    subscription = credential.subscription
    names = {
        "{provider}": html.escape(settings.provider_name),
        "{subscription}": html.escape(subscription.name or subscription.slug),
    }

    def filled(own: str, texts: dict[str, str]) -> str:
        text = own or texts.get(subscription.language) or texts.get(_ELSE, "")
        for placeholder, name in names.items():
            text = text.replace(placeholder, name)
        return text

    return dataclasses.replace(
        terms,
        welcome=filled(terms.welcome, settings.welcome_texts),
        moderator=filled(terms.moderator, settings.moderator_texts),
    )


@functools.cache
def zone_of(name: str) -> tzinfo:
    """Return the zone of a name that the settings have checked."""
    return UTC if name == "UTC" else ZoneInfo(name)
