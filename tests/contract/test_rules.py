"""Parameter rules: what they may say, what they do, and what they can never reach."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import credentials, operations
from schemas import rules
from schemas.params import Params, create_violation, join_violation
from schemas.requested import Terms, requested
from schemas.rules import RulesError
from tests.gateway.world import OTHER_SECRET, World

CREATE = {"name": "Room", "meetingID": "room-42"}
JOIN = {"fullName": "Ada", "meetingID": "room-42", "role": "VIEWER"}
TERMS = Terms(seats=10, duration_s=7_200)


def _applied(text: str, call: str = "create", **sent: str) -> rules.Applied:
    ruling = getattr(rules.compiled(rules.parse(text)), call)
    assert isinstance(ruling, rules.CallRules)
    return ruling.apply(Params({**(CREATE if call == "create" else JOIN), **sent}))


def _result(text: str, call: str = "create", **sent: str) -> dict[str, str]:
    """Return what is left of a call besides what every call has."""
    start = CREATE if call == "create" else JOIN
    values = _applied(text, call, **sent).params.values
    assert {name: values[name] for name in start} == start
    return {name: value for name, value in values.items() if name not in start}


@pytest.mark.parametrize(
    ("rule", "sent", "result"),
    [
        ("create block webVoice", {"webVoice": "1"}, {}),
        ("create block lockSettings*", {"lockSettingsDisableCam": "1", "logo": "l"}, {"logo": "l"}),
        ("create block meta_*", {"meta_A": "1", "META_b": "2"}, {"META_b": "2"}),
        ("create block *", {"record": "true", "voiceBridge": "7"}, {}),
        ("create block record", {"Record": "true"}, {"Record": "true"}),
        ("create default muteOnStart=true", {}, {"muteOnStart": "true"}),
        ("create default muteOnStart=true", {"muteOnStart": "false"}, {"muteOnStart": "false"}),
        ("create default muteOnStart=true", {"muteOnStart": ""}, {"muteOnStart": "true"}),
        ("create default record=true", {"record": "None"}, {"record": "true"}),
        ("create default maxParticipants=9", {"maxParticipants": "-1"}, {"maxParticipants": "9"}),
        ("create default duration=9", {"duration": "soon"}, {"duration": "9"}),
        ("create default userCameraCap=9", {"userCameraCap": "0"}, {"userCameraCap": "0"}),
        ("create default welcome=Hello,  all = 1", {}, {"welcome": "Hello,  all = 1"}),
        ("create default meta_Origin=x", {"meta_oriGin": "y"}, {"meta_oriGin": "y"}),
        ("create override record=false", {"record": "true"}, {"record": "false"}),
        ("create override record=false", {}, {"record": "false"}),
        ("create override welcome=", {"welcome": "Hello"}, {"welcome": ""}),
        ("create override meta_a=1", {"meta_A": "2", "meta_a": "3"}, {"meta_A": "1"}),
        ("create append welcome= Bye", {"welcome": "Hi."}, {"welcome": "Hi.Bye"}),
        ("create append welcome=Bye", {}, {"welcome": "Bye"}),
        ("create append disabledFeatures=chat", {}, {"disabledFeatures": "chat"}),
        (
            "create append disabledFeatures=,chat,polls",
            {"disabledFeatures": "polls, layouts,"},
            {"disabledFeatures": "polls,layouts,chat"},
        ),
        ("create append meta_tags=,b", {"meta_tags": "a"}, {"meta_tags": "a,b"}),
        ("create cap userCameraCap=3", {"userCameraCap": "5"}, {"userCameraCap": "3"}),
        ("create cap userCameraCap=3", {"userCameraCap": "2"}, {"userCameraCap": "2"}),
        ("create cap userCameraCap=3", {"userCameraCap": "0"}, {"userCameraCap": "3"}),
        ("create cap userCameraCap=3", {"userCameraCap": "9" * 9_999}, {"userCameraCap": "3"}),
        ("create cap userCameraCap=3", {"userCameraCap": "all"}, {"userCameraCap": "all"}),
        ("create cap userCameraCap=3", {}, {}),
        ("create cap maxParticipants=100", {"maxParticipants": "500"}, {"maxParticipants": "100"}),
        ("create cap maxParticipants=100", {"maxParticipants": "0"}, {"maxParticipants": "0"}),
        (
            "create if record=TRUE override logo=x",
            {"record": "true"},
            {"record": "true", "logo": "x"},
        ),
        ("create if record=true override logo=x", {"record": "no"}, {"record": "no"}),
        ("create if record=true override logo=x", {}, {}),
        ("create unless record override logo=x", {}, {"logo": "x"}),
        ("create unless record override logo=x", {"record": ""}, {"record": "", "logo": "x"}),
        (
            "create if meta_Bbb-Origin=Moodle* if record=true block record",
            {"meta_bbb-origin": "Moodle 4.5", "record": "true"},
            {"meta_bbb-origin": "Moodle 4.5"},
        ),
        ("create if name=R??m override logo=x", {}, {"logo": "x"}),
        ("create if name=R[ao]om override logo=x", {}, {}),
    ],
)
def test_a_rule_does_what_it_says(rule: str, sent: dict[str, str], result: dict[str, str]) -> None:
    assert _result(rule, **sent) == result


def test_rules_of_join_work_on_joins_only() -> None:
    text = "join override guest=true\njoin block userdata-*\ncreate override logo=x"
    sent = {"userdata-bbb_auto_join_audio": "true", "userdata-x": "1", "avatarURL": "a"}
    assert _result(text, "join", **sent) == {"avatarURL": "a", "guest": "true"}
    assert _result(text) == {"logo": "x"}
    assert rules.compiled(rules.parse("join block bot")).create is None


def test_rules_work_in_one_order_however_they_are_written() -> None:
    lines = [
        "create cap userCameraCap=3",
        "create append welcome=, bye",
        "create override welcome=Hello",
        "create default welcome=never seen",
        "create default userCameraCap=9",
        "create block welcome",
    ]
    for text in ("\n".join(lines), "\n".join(reversed(lines))):
        assert _result(text, welcome="Hi") == {"welcome": "Hello,bye", "userCameraCap": "3"}


def test_of_two_rules_that_contradict_each_other_the_later_decides() -> None:
    """The subscription's come first, so a credential has the last word, except on caps."""
    assert _result("create default logo=a\ncreate default logo=b") == {"logo": "b"}
    assert _result("create override logo=a\ncreate override logo=b") == {"logo": "b"}
    caps = "create cap userCameraCap=3\ncreate cap userCameraCap=5"
    assert _result(caps, userCameraCap="9") == {"userCameraCap": "3"}


def test_conditions_look_at_what_the_caller_sent() -> None:
    text = "create override record=true\ncreate if record=true override logo=x"
    assert _result(text, record="false") == {"record": "true"}


def test_a_cap_covers_the_default_of_the_subscription_too() -> None:
    applied = _applied("create cap maxParticipants=4\ncreate cap duration=30")
    asked = requested(applied.params, applied.terms(TERMS))
    assert (asked.seats, asked.duration_s) == (4, 1_800)
    plain = _applied("create cap maxParticipants=40")
    assert requested(plain.params, plain.terms(TERMS)).seats == 10


def test_notes_say_what_each_rule_did() -> None:
    text = "create if record block logo\ncreate override logo=x\ncreate default logo=y"
    notes = _applied(text, logo="z").notes
    assert [(note.rule.action, note.held, note.changed) for note in notes] == [
        ("block", False, ()),
        ("default", True, ()),
        ("override", True, (("logo", "z", "x"),)),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("end block x", "begins with create or join"),
        ("create", "'' is no action"),
        ("create change x=1", "'change' is no action"),
        ("create block", "no name of a parameter"),
        ("create block x=1", "block takes a name alone"),
        ("create block a b", "no name of a parameter"),
        ("create default x", "needs NAME=VALUE"),
        ("create default x=", "needs a value"),
        ("create append disabledFeatures=,", "needs a value"),
        ("create default lock*=1", "needs NAME=VALUE"),
        ("create default 1x=1", "needs NAME=VALUE"),
        ("create cap x=many", "a cap is a whole number"),
        ("create cap x=0", "a cap is a whole number"),
        ("create cap record=1", "record is no number"),
        ("create append record=true", "no text to append to"),
        ("create override record=perhaps", "Record must be a boolean value"),
        ("create override maxParticipants=0", "maxParticipants is a whole number"),
        ("create default duration=long", "duration is a whole number"),
        ("create default presentationUploadExternalUrl=ftp://x", "not a valid URL"),
        ("join override guest=perhaps", "Guest must be a boolean value"),
        ("create if =x block logo", "a condition is NAME or NAME=PATTERN"),
        ("create if a", "'' is no action"),
        ("create default voiceBridge=70000", "can be blocked but not set"),
        ("join override bot=true", "can be blocked but not set"),
        ("create default x=a\tb", "cannot be shown"),
        ("create default x=" + "y" * 5_000, "4096 characters"),
        *(
            (f"create {rule}", "no rule may touch it")
            for rule in (
                "override meetingID=x",
                "block meetingID",
                "append name=x",
                "default attendeePW=secret",
                "block moderatorPW",
                "override isBreakout=false",
                "block parentMeetingID",
                "cap sequence=1",
                "override renew=true",
                "block checksum",
            )
        ),
        *(
            (f"join {rule}", "no rule may touch it")
            for rule in (
                "override meetingID=x",
                "override role=MODERATOR",
                "block password",
                "override userID=x",
                "append fullName=x",
                "block createTime",
                "override redirect=true",
            )
        ),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused_with_its_line(line: str, says: str) -> None:
    with pytest.raises(RulesError, match=re.escape(says)) as refused:
        rules.parse(f"# ours\n\n{line}\n")
    assert str(refused.value).startswith("line 3: ")


def test_rules_are_bounded_in_number() -> None:
    rules.parse("create block x\n" * rules.RULES_MAX)
    with pytest.raises(RulesError, match="take some out"):
        rules.parse("create block x\n" * (rules.RULES_MAX + 1))


def test_lines_that_can_be_read_are_found_beside_others() -> None:
    found, errors = rules.readable("create block x\nnonsense\ncreate block y\n")
    assert [rule.name for rule in found] == ["x", "y"]
    assert [str(error)[:6] for error in errors] == ["line 2"]


def test_patterns_cannot_be_made_slow() -> None:
    text = f"create if welcome={'*a' * 500}b block logo\ncreate block {'*a' * 60}b"
    started_s = time.process_time()
    _applied(text, **{"welcome": "a" * 50_000, "a" * 50_000: "1", "logo": "x"})
    assert time.process_time() - started_s < 5, "an exponent would never end"


_names = st.sampled_from(
    [
        *("record", "maxParticipants", "duration", "welcome", "disabledFeatures", "userCameraCap"),
        *("meta_A", "meta_a", "meta_b", "logo", "guest", "meetingID", "name", "role", "userID"),
        *("voiceBridge", "*", "m*", "isBreakout", "parentMeetingID", "attendeePW", "fullName"),
    ]
)
_values = st.sampled_from(["true", "false", "5", "0", "-1", "", "x y", ",chat", "None", "9" * 40])
_lines = st.builds(
    lambda call, condition, action, name, value: (
        f"{call} {condition}{action} {name}" + ("" if action == "block" else f"={value}")
    ),
    st.sampled_from(["create", "join"]),
    st.sampled_from(["", "if record ", "unless meta_a=x* "]),
    st.sampled_from(rules.ACTIONS),
    _names,
    _values,
)


@given(st.lists(_lines, max_size=12), st.dictionaries(_names, _values, max_size=8))
def test_rules_never_change_what_a_call_is_about_or_make_it_invalid(
    lines: list[str], sent: dict[str, str]
) -> None:
    ruling = rules.compiled(rules.readable("\n".join(lines))[0])
    for call, start, fixed in (
        ("create", CREATE, ("meetingID", "name", "attendeePW", "isBreakout", "parentMeetingID")),
        ("join", JOIN, ("meetingID", "fullName", "role", "userID")),
    ):
        given_ = Params({**sent, **start})
        called: rules.CallRules | None = getattr(ruling, call)
        if called is None:
            continue
        before = dict(given_.values)
        applied = called.apply(given_)
        after = applied.params
        assert given_.values == before, "the caller's own text stays as it came"
        assert {n: after.values.get(n) for n in fixed} == {n: before.get(n) for n in fixed}
        again = called.apply(after).params.values
        if not any("append" in line or "if" in line or "unless" in line for line in lines):
            assert again == after.values, "applying twice is applying once"
        if call == "create" and create_violation(given_) is None:
            assert create_violation(after) is None
            asked = requested(after, applied.terms(TERMS))
            assert 1 <= asked.seats <= (applied.seats_max or asked.seats)
            assert asked.duration_s <= (applied.minutes_max or 10**9) * 60
        if call == "join" and join_violation(given_, known=True) is None:
            assert join_violation(after, known=True) is None


# --- in the running product


async def _set_rules(run: World, *, subscription: str = "", **credential: Any) -> None:
    await operations.change_subscription(run.database, "acme", rules=subscription)
    for name, text in credential.items():
        await credentials.change_credential(run.database, name.replace("_", "-"), rules=text)
    await run.directory.refresh()


async def test_a_create_goes_to_the_node_as_the_rules_make_it(run: World) -> None:
    await _set_rules(
        run,
        subscription="create block webVoice\ncreate default muteOnStart=true\n"
        "create cap maxParticipants=5\ncreate override logo=https://acme.example/l.png",
        acme_5="create override logo=https://five.example/l.png",
    )
    reply = await run.create(maxParticipants="50", webVoice="7", record="true")
    assert reply.ok, reply.text
    (call,) = await run.node_calls("create")
    sent = call["params"]
    assert (sent["maxParticipants"], sent["muteOnStart"]) == ("5", "true")
    assert (sent["logo"], sent["record"]) == ("https://acme.example/l.png", "true")
    assert "webVoice" not in sent
    entry = run.parts.meetings.lookup(1, "room-42")
    assert entry is not None
    assert entry.view["seats"] == 5
    five, other = "/t/acme-5/bigbluebutton/api", "/t/other/bigbluebutton/api"
    assert (await run.call("create", CREATE, secret=OTHER_SECRET, prefix=five)).ok
    logos = {call["params"]["logo"] for call in await run.node_calls("create")}
    assert "https://five.example/l.png" in logos
    sent = {**CREATE, "webVoice": "7"}
    assert (await run.call("create", sent, secret=OTHER_SECRET, prefix=other)).ok
    assert [c for c in await run.node_calls("create") if "webVoice" in c["params"]]


async def test_what_the_caller_signed_is_judged_before_any_rule(run: World) -> None:
    await _set_rules(run, subscription="create override record=false")
    assert (await run.create(record="perhaps")).key == "validationError"
    assert not await run.node_calls("create")


async def test_a_join_goes_to_the_node_as_the_rules_make_it(run: World) -> None:
    await _set_rules(run, acme="join block userdata-*\njoin override guest=true")
    await run.create()
    sent = {**JOIN, "userdata-x": "1", "avatarURL": "https://a.example/a.png"}
    location = (await run.call("join", sent)).headers["Location"]
    assert "guest=true" in location
    assert "avatarURL=" in location
    assert "userdata" not in location


async def test_a_stored_rule_that_cannot_be_read_stops_no_call(run: World) -> None:
    async with run.database.write_lock, run.database.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE subscription SET rules = 'of another version\ncreate override logo=x'"
        )
        await connection.exec_driver_sql(
            "UPDATE installation SET directory_version = directory_version + 1"
        )
    await run.directory.refresh()
    assert (await run.create()).ok
    (call,) = await run.node_calls("create")
    assert call["params"]["logo"] == "x"
