"""Logos, slides and style sheets of a subscription, as they are asked for and shown."""

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, Field

from schemas.management.entries import Slug
from schemas.management.paging import Answered, Asked, Paged

AssetKind: TypeAlias = Literal["css", "logo", "slide"]

_SUBSCRIPTION = Field(description="Slug of the subscription.")


class AssetsAsked(Paged):
    """The assets of one subscription."""

    subscription: Slug = _SUBSCRIPTION


class AssetAsked(Asked):
    """One asset."""

    subscription: Slug = _SUBSCRIPTION
    kind: AssetKind = Field(description="What it is for.")


class NewAsset(AssetAsked):
    """An asset to be stored; its type is seen in the content, whatever it is called."""

    content: bytes = Field(description="The file.")
    media_type: str = Field(default="", max_length=255, description="As the sender calls it.")
    filename: str = Field(
        default="",
        max_length=255,
        description="Name of the file, by which people see a slide; empty: the kind.",
    )


class AssetShown(Answered):
    """An asset without its content."""

    kind: AssetKind
    media_type: str = Field(description="What the content is.")
    filename: str = Field(description="Under which it is handed out.")
    length_bytes: int = Field(ge=0, description="How long it is.")
    digest: str = Field(description="SHA-256 of the content (hex).")
    path: str = Field(description="Where the gateway shows it to everybody.")
    updated_at: AwareDatetime
