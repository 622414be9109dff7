"""Refusals are told in the subscription's language, or in its own words."""

import string
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schemas import refusal_texts, refusals
from schemas.refusals import Figures, Wording
from schemas.values import Reason

NOW_S = int(datetime(2026, 11, 22, 10, 0, tzinfo=UTC).timestamp())
GERMAN = Wording("de")


def _figures(**changed: int | bool | None) -> Figures:
    values = {
        "free_seats": 5, "seats": 20, "asked_seats": 10, "duration_s": 5_400,
        "fits_at_s": NOW_S + 6_000, "permanent": False, "of_credential": False,
    }  # fmt: skip
    return Figures(**{**values, **changed})  # type: ignore[arg-type]


def _said(reason: Reason, wording: Wording = refusals.PLAIN, **changed: int | bool | None) -> str:
    return refusals.seats_sentence(reason, _figures(**changed), now_s=NOW_S, wording=wording)


def test_every_language_has_a_text_for_every_reason() -> None:
    for name, language in refusal_texts.LANGUAGES.items():
        assert set(language.fixed) == set(Reason), name
        texts = [refusals.sentence(reason, Wording(name)) for reason in Reason]
        assert len(set(texts)) == len(texts), name
        assert not any("{" in text for text in texts)


def test_the_pieces_of_all_languages_ask_for_the_same_figures() -> None:
    def asked(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english = refusal_texts.ENGLISH
    for language in refusal_texts.LANGUAGES.values():
        for piece in ("asked", "at", "on"):
            assert asked(getattr(language, piece)) == asked(getattr(english, piece)), piece
        for forms in (language.free, language.free_of_credential):
            assert {"free", "seats"} <= asked(forms[0]) & asked(forms[1])


def test_figures_are_told_in_english_and_german() -> None:
    full = Reason.MAX_PARTICIPANTS
    assert _said(full) == "5 of 20 seats are free; 10 seats for 90 minutes fit at 11:40 UTC."
    assert _said(full, GERMAN) == (
        "Von 20 Plätzen sind 5 frei; 10 Plätze für 90 Minuten werden um 11:40 Uhr (UTC) frei."
    )
    assert _said(full, free_seats=1, asked_seats=1, duration_s=60, fits_at_s=None) == (
        "1 of 20 seats is free; 1 seat for 1 minute do not fit within the next four weeks."
    )
    tomorrow: dict[str, Any] = {"fits_at_s": NOW_S + 86_400}
    assert _said(full, **tomorrow).endswith("fit on 2026-11-23 at 10:00 UTC.")
    assert "am 23.11.2026 um 10:00 Uhr" in _said(full, GERMAN, **tomorrow)


def test_what_no_waiting_helps_with_says_why() -> None:
    full, node = Reason.MAX_PARTICIPANTS, Reason.NO_NODE
    assert "the subscription has 20 seats" in _said(full, permanent=True)
    assert "this credential has" in _said(full, permanent=True, of_credential=True)
    assert "no server takes" in _said(node, permanent=True)
    assert "nimmt kein Server auf" in _said(node, GERMAN, permanent=True)
    assert "but no server can take" in _said(node)
    assert "of this credential are free" in _said(full, of_credential=True)
    assert "dieses Zugangs" in _said(Reason.MAX_MEETINGS, GERMAN, of_credential=True)


def test_times_are_told_in_the_zone_of_the_installation() -> None:
    berlin = Wording("de", zone=ZoneInfo("Europe/Berlin"))
    assert "um 12:40 Uhr (CET)" in _said(Reason.MAX_PARTICIPANTS, berlin)


def test_an_own_text_takes_the_place_of_ours() -> None:
    own = Wording(
        "en", {"maxParticipantsReached": "{free}/{seats}, {asked} x {minutes}, {fits_at}"}
    )
    assert _said(Reason.MAX_PARTICIPANTS, own) == "5/20, 10 x 90, at 11:40 UTC"
    assert _said(Reason.NO_NODE, own) == _said(Reason.NO_NODE)
    more = Wording("en", {"maxParticipantsReached": "{details} Call us."})
    assert _said(Reason.MAX_PARTICIPANTS, more).endswith("fit at 11:40 UTC. Call us.")


def test_an_own_text_is_not_used_where_its_figures_are_not_known() -> None:
    own = Wording("en", {"maxParticipantsReached": "only {free} left", "meetingFull": "Full!"})
    plain = refusals.sentence(Reason.MAX_PARTICIPANTS)
    assert refusals.sentence(Reason.MAX_PARTICIPANTS, own) == plain
    assert refusals.full_sentence(own) == "Full!"


def test_figures_never_reach_into_an_own_text_a_second_time() -> None:
    own = Wording("en", {"notFound": "{details}"})
    assert refusals.sentence(Reason.NOT_FOUND, own) == refusals.sentence(Reason.NOT_FOUND)


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("{price} left", None, "{price} stands for nothing"),
        ("{free.__class__}", None, "braces"),
        ("{0}", None, "braces"),
        ("a { b", None, "braces"),
        ("{free} left", "integrationDisabled", "{free} stands for nothing"),
        ("text", "noSuchKey", "there is no refusal"),
        (" ", None, "characters"),
        ("x" * 1_001, None, "characters"),
        ("a\nb", None, "one line"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused(text: str, key: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("{", r"\{").replace("}", r"\}")):
        refusals.check_template(text, key)


def test_texts_are_checked_by_language_and_key() -> None:
    refusals.check_texts(
        {"de": {"maxParticipantsReached": "Nur {free} frei.", "meetingFull": "Voll"}}
    )
    with pytest.raises(ValueError, match="there is no language 'fr'"):
        refusals.check_texts({"fr": {}})
    with pytest.raises(ValueError, match=r"en, notFound: \{free\}"):
        refusals.check_texts({"en": {"notFound": "{free}"}})
