"""`seatkeep delivery …` on an installation without any delivery."""

import pytest

from tests.cli.conftest import Place


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--subscription", "acme", "--since", "10:00", "--state", "parked"),
        ("targets",),
    ],
)
def test_lists_are_empty_and_say_so(place: Place, arguments: tuple[str, ...]) -> None:
    assert place.run("delivery", *arguments).output.strip() == "none"
    assert place.run("delivery", *arguments, "--json").output.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay", "--since", "2h"), "0 deliveries queued again"),
        (("park", "--kind", "userLeft"), "0 deliveries parked"),
        (("drop", "--state", "parked", "--yes"), "0 deliveries removed"),
    ],
)
def test_changes_say_how_many(place: Place, arguments: tuple[str, ...], said: str) -> None:
    result = place.run("delivery", *arguments)
    assert (result.exit_code, result.output.strip()) == (0, said)
    assert place.run("delivery", *arguments, "--json").output.split() == [
        *("{", '"deliveries":', "0", "}")
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "nothing"), 1, "there is no delivery nothing"),
        (("replay",), 1, "say which deliveries"),
        (("replay", "--endpoint", "99"), 1, "there is no endpoint 99"),
        (("list", "--state", "lost"), 1, "'lost' is none of"),
        (("list", "--since", "tomorrow"), 2, "is no time"),
    ],
)
def test_mistakes_are_answered_with_a_sentence(
    place: Place, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = place.run("delivery", *arguments)
    assert result.exit_code == code
    assert said in result.errors
