"""What customers used, as it is asked for and shown: sums and peaks, nobody's names.

Owns the models of the usage ledger. Days are those of UTC.
"""

from datetime import date
from typing import Literal

from pydantic import Field

from schemas.management.entries import CredentialName, Slug
from schemas.management.paging import Answered, Paged


class UsageList(Paged):
    """Which usage: by default of the last 31 days, of all that the token may see."""

    subscription: Slug | None = Field(default=None, description="Of one subscription.")
    credential: CredentialName | None = Field(
        default=None, description="Of one credential: `acme` or `acme-5`."
    )
    first_day: date | None = Field(
        default=None, description="First day; by default 30 days before the last one."
    )
    last_day: date | None = Field(default=None, description="Last day, included; default: today.")
    by: Literal["day", "month"] = Field(default="day", description="What each line sums up.")
    split: Literal["subscription", "credential"] = Field(
        default="subscription", description="Whether each credential has lines of its own."
    )
    format: Literal["json", "csv"] = Field(
        default="json", description="`csv` gives all lines at once, without pages."
    )


class UsageLine(Answered):
    """What one subscription, or one credential of it, used in one day or month."""

    period: str = Field(description="`2026-11-22` or `2026-11`.", examples=["2026-11-22"])
    subscription: str
    credential: str | None = Field(description="null: all credentials of the subscription.")
    creates: int = Field(description="Meetings that were started.")
    bookings: int = Field(description="Bookings that were made.")
    joins: int = Field(description="Times that a person came into a meeting.")
    overtimes: int = Field(description="Meetings that went on after their window.")
    evictions: int = Field(description="Meetings that ended because others needed their seats.")
    refused_seats: int = Field(description="Creates for which there were not enough seats.")
    refused_meetings: int = Field(description="Creates that were one meeting too many.")
    refused_nodes: int = Field(description="Creates for which no server had room or answered.")
    refused_other: int = Field(description="Creates that were refused for any other reason.")
    refused_joins: int = Field(description="Persons who found all seats of a meeting taken.")
    reserved_seat_s: int = Field(description="Seats times seconds inside reserved windows.")
    used_seat_s: int = Field(description="Persons times seconds in meetings.")
    overtime_seat_s: int = Field(description="Seats times seconds after windows.")
    meeting_s: int = Field(description="Seconds that meetings ran, all together.")
    peak_seats: int = Field(description="The most seats that were reserved at any moment.")
    peak_users: int = Field(description="The most persons that were there at any moment.")
    peak_meetings: int = Field(description="The most meetings that ran at any moment.")
