"""The texts of refusals in each language that is built in.

Owns the words alone: sentences without figures by reason, and the pieces that sentences with
figures are made of. Pure. Put together by `refusals`, which everybody else uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.values import Reason

#: One, and more than one.
Noun = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Language:
    """What is said in one language; names in braces are filled in."""

    fixed: Mapping[Reason, str]
    #: A reason without a text of its own.
    other: str
    meeting_full: str
    credential_meetings: str
    seats: Noun
    #: The same behind "of".
    of_seats: Noun
    minutes: Noun
    #: `10 seats for 90 minutes`.
    asked: str
    #: It is more than there is: of the subscription, of the credential, on any server.
    plan_is_smaller: str
    credential_is_smaller: str
    servers_are_smaller: str
    #: `5 of 20 seats are free`, with one free seat and with another number, of the credential.
    free: Noun
    free_of_credential: Noun
    but_no_server: str
    #: Behind what is free: when it would fit, for one seat and for more.
    fits: Noun
    never_fits: Noun
    #: An instant of today and of another day, within a sentence.
    at: str
    on: str
    #: How a day is written.
    date: str
    #: In place of an instant when there is none.
    never: str


ENGLISH: Final = Language(
    fixed={
        Reason.MAX_PARTICIPANTS: "There are not enough free seats for this meeting.",
        Reason.MAX_MEETINGS: "The number of simultaneous meetings of this subscription is reached.",
        Reason.NO_NODE: "No server can take this meeting at the moment.",
        Reason.NOT_UNIQUE: (
            "A meeting already exists with that meeting ID.  Please use a different meeting ID."
        ),
        Reason.NOT_FOUND: "A meeting with that ID does not exist",
        Reason.NO_PARENT: "No parent meeting exists for the breakout room",
        Reason.INVALID_PASSWORD: "The password is not the moderator password of this meeting.",
        Reason.DISABLED: "The integration is switched off for this subscription.",
        Reason.UNAVAILABLE: "The service is not available at the moment. Please try again shortly.",
        Reason.TOO_LARGE: "The request is too large.",
        Reason.RATE_LIMITED: "Too many requests are waiting. Please try again in a few seconds.",
        Reason.UNSUPPORTED: "This call is not offered.",
    },
    other="The request was refused.",
    meeting_full="The number of participants allowed for this meeting has been reached.",
    credential_meetings="The number of simultaneous meetings of this credential is reached.",
    seats=("seat", "seats"),
    of_seats=("seat", "seats"),
    minutes=("minute", "minutes"),
    asked="{seats} for {minutes}",
    plan_is_smaller="{asked} were asked for, but the subscription has {seats} in all.",
    credential_is_smaller="{asked} were asked for, but this credential has {seats} in all.",
    servers_are_smaller="{asked} were asked for, but no server takes such a meeting.",
    free=("{free} of {seats} is free", "{free} of {seats} are free"),
    free_of_credential=(
        "{free} of {seats} of this credential is free",
        "{free} of {seats} of this credential are free",
    ),
    but_no_server=", but no server can take the meeting now",
    # A number of seats is plural here, whatever it is.
    fits=("; {asked} fit {when}.", "; {asked} fit {when}."),
    never_fits=(
        "; {asked} do not fit within the next four weeks.",
        "; {asked} do not fit within the next four weeks.",
    ),
    at="at {time} {zone}",
    on="on {date} at {time} {zone}",
    date="%Y-%m-%d",
    never="not within the next four weeks",
)

GERMAN: Final = Language(
    fixed={
        Reason.MAX_PARTICIPANTS: "Für diese Konferenz sind nicht genügend Plätze frei.",
        Reason.MAX_MEETINGS: "Die Zahl gleichzeitiger Konferenzen dieses Vertrags ist erreicht.",
        Reason.NO_NODE: "Zurzeit kann kein Server diese Konferenz aufnehmen.",
        Reason.NOT_UNIQUE: (
            "Eine Konferenz mit dieser Kennung gibt es bereits. Bitte verwenden Sie eine andere."
        ),
        Reason.NOT_FOUND: "Eine Konferenz mit dieser Kennung gibt es nicht.",
        Reason.NO_PARENT: "Die Konferenz, zu der dieser Gruppenraum gehören soll, gibt es nicht.",
        Reason.INVALID_PASSWORD: "Das Passwort ist nicht das der Moderation dieser Konferenz.",
        Reason.DISABLED: "Die Schnittstelle dieses Vertrags ist abgeschaltet.",
        Reason.UNAVAILABLE: (
            "Der Dienst ist zurzeit nicht erreichbar. Bitte versuchen Sie es gleich noch einmal."
        ),
        Reason.TOO_LARGE: "Die Anfrage ist zu groß.",
        Reason.RATE_LIMITED: (
            "Es kommen zu viele Anfragen auf einmal."
            " Bitte versuchen Sie es in einigen Sekunden noch einmal."
        ),
        Reason.UNSUPPORTED: "Dieser Aufruf wird nicht angeboten.",
    },
    other="Die Anfrage wurde abgelehnt.",
    meeting_full="Alle Plätze dieser Konferenz sind besetzt.",
    credential_meetings="Die Zahl gleichzeitiger Konferenzen dieses Zugangs ist erreicht.",
    seats=("Platz", "Plätze"),
    of_seats=("Platz", "Plätzen"),
    minutes=("Minute", "Minuten"),
    asked="{seats} für {minutes}",
    plan_is_smaller="Angefragt wurden {asked}; der Vertrag umfasst insgesamt {seats}.",
    credential_is_smaller="Angefragt wurden {asked}; dieser Zugang umfasst insgesamt {seats}.",
    servers_are_smaller="Angefragt wurden {asked}; eine solche Konferenz nimmt kein Server auf.",
    free=("Von {seats} ist {free} frei", "Von {seats} sind {free} frei"),
    free_of_credential=(
        "Von {seats} dieses Zugangs ist {free} frei",
        "Von {seats} dieses Zugangs sind {free} frei",
    ),
    but_no_server=", doch kein Server kann die Konferenz jetzt aufnehmen",
    fits=("; {asked} wird {when} frei.", "; {asked} werden {when} frei."),
    never_fits=(
        "; {asked} wird in den nächsten vier Wochen nicht frei.",
        "; {asked} werden in den nächsten vier Wochen nicht frei.",
    ),
    at="um {time} Uhr ({zone})",
    on="am {date} um {time} Uhr ({zone})",
    date="%d.%m.%Y",
    never="nicht in den nächsten vier Wochen",
)

LANGUAGES: Final[Mapping[str, Language]] = {"en": ENGLISH, "de": GERMAN}
