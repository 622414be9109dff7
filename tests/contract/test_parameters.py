"""Every parameter of the API reaches the node as the caller sent it, except those that are ours."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from schemas.params import Params, create_violation
from tests.gateway.world import World

#: By name: a value that BBB takes. Whatever this product does not know must pass all the same.
CREATE = {
    "name": "Analysis & Algebra",
    "attendeePW": "attend-me",
    "moderatorPW": "moderate-me",
    "welcome": "<b>Welcome</b> to %%CONFNAME%% + more = fun",
    "moderatorOnlyMessage": "for %%DIALNUM%% only",
    "dialNumber": "+49 30 123456",
    "voiceBridge": "71234",
    "webVoice": "71234",
    "maxParticipants": "12",
    "logoutURL": "https://lms.example/?id=1&done=%%MEETINGID%%",
    "loginURL": "https://lms.example/in",
    "logoutTimer": "3",
    "record": "true",
    "autoStartRecording": "false",
    "allowStartStopRecording": "true",
    "recordFullDurationMedia": "false",
    "notifyRecordingIsOn": "true",
    "notifyRecordingAppend": "by us",
    "freeJoin": "false",
    "breakoutRoomsEnabled": "true",
    "breakoutRoomsPrivateChatEnabled": "false",
    "breakoutRoomsRecord": "false",
    "breakoutRoomsCaptureSlides": "true",
    "breakoutRoomsCaptureNotes": "true",
    "breakoutRoomsCaptureSlidesFilename": "%%CONFNAME%%-slides",
    "breakoutRoomsCaptureNotesFilename": "%%CONFNAME%%-notes",
    "plugin_Pick-A-Name": "on",
    "webcamsOnlyForModerator": "true",
    "bannerText": "Exam",
    "bannerColor": "#00AAFF",
    "logo": "https://lms.example/l.png",
    "darklogo": "https://lms.example/d.png",
    "copyright": "© 2026",
    "muteOnStart": "True",
    "allowModsToUnmuteUsers": "true",
    "allowModsToEjectCameras": "true",
    "allowPromoteGuestToModerator": "true",
    "lockSettingsDisableCam": "true",
    "lockSettingsDisableMic": "false",
    "lockSettingsDisablePrivateChat": "true",
    "lockSettingsDisablePublicChat": "true",
    "lockSettingsDisableNotes": "true",
    "lockSettingsDisableNote": "true",
    "lockSettingsHideUserList": "true",
    "lockSettingsLockOnJoin": "true",
    "lockSettingsLockOnJoinConfigurable": "true",
    "lockSettingsHideViewersCursor": "true",
    "lockSettingsHideViewersAnnotation": "true",
    "lockSettingsLockedLayout": "true",
    "lockSettingsPresenterPolicy": "requireApproval",
    "guestPolicy": "ASK_THE_PORTER",
    "meetingKeepEvents": "true",
    "keepEvents": "true",
    "endWhenNoModerator": "true",
    "endWhenNoModeratorDelayInMinutes": "7",
    "meetingExpireIfNoUserJoinedInMinutes": "9",
    "meetingExpireWhenLastUserLeftInMinutes": "0",
    "meetingLayout": "A_LAYOUT_OF_TOMORROW",
    "learningDashboardEnabled": "false",
    "learningDashboardCleanupDelayInMinutes": "0",
    "virtualBackgroundsDisabled": "true",
    "allowRequestsWithoutSession": "true",
    "userCameraCap": "4",
    "meetingCameraCap": "-1",
    "maxPinnedCameras": "2",
    "groups": '[{"id":"1","name":"A","roster":["u1","u2"]},{"id":"2","roster":[]}]',
    "disabledFeatures": "chat,polls,somethingNew",
    "disabledFeaturesExclude": "chat",
    "preUploadedPresentation": "https://files.example/deck.pdf",
    "preUploadedPresentationName": "deck.pdf",
    "preUploadedPresentationOverrideDefault": "false",
    "presentationUploadExternalUrl": "https://files.example/up?m=%%MEETINGID%%",
    "presentationUploadExternalDescription": "Our files",
    "presentationConversionCacheEnabled": "true",
    "maxNumPages": "40",
    "multiUserWhiteboardEnabled": "true",
    "pluginManifests": '[{"url":"https://p.example/manifest.json","checksum":"abc"}]',
    "pluginManifestsFetchUrl": "https://p.example/all.json",
    "clientSettingsOverrideJsonUrl": "https://p.example/settings.json",
    "allowOverrideClientSettingsOnCreateCall": "true",
    "sharedNotesEditor": "blockNote",
    "sharedNotesInitialContentJsonUrl": "https://p.example/notes.json",
    "sharedNotesInitialContentMarkdown": "# Agenda",
    "sharedNotesInitialContentMarkdownUrl": "https://p.example/notes.md",
    "cameraBridge": "livekit",
    "screenShareBridge": "livekit",
    "audioBridge": "livekit",
    "requireUserConsentBeforeUnmuting": "true",
    "meta_bbb-disable-recording-formats": "podcast",
    "meta_bbb-origin": "Some LMS",
    "meta_bbb-origin-server-name": "lms.example",
    "meta_bbb-context-id": "17",
    "meta_gl-listed": "false",
    # Of no list: what clients send besides.
    "role": "moderator",
    "random": "0.12345",
    "meta": "",
    "joinViaHtml5": "true",
    "userdata-bbb_custom_style": ":root{--loader-bg:#000}",
    "a parameter of tomorrow": "ä ö ü \N{GRINNING FACE}",
}
JOIN = {
    "fullName": "Ada Lovelace + Co",
    "role": "mOdErAtOr",
    "password": "moderate-me",
    "userID": "w/17;x",
    "webVoiceConf": "71234",
    "guest": "0",
    "auth": "True",
    "errorRedirectUrl": "https://lms.example/failed",
    "logoutURL": "https://lms.example/bye?a=1&b=2",
    "avatarURL": "https://lms.example/a.png",
    "webcamBackgroundURL": "https://lms.example/b.png",
    "excludeFromDashboard": "true",
    "enforceLayout": "A_LAYOUT_OF_TOMORROW",
    "defaultLayout": "SMART_LAYOUT",
    "bot": "false",
    "firstName": "Ada",
    "lastName": "Lovelace",
    "sessionName": "second screen",
    "configToken": "c-1",
    "clientURL": "https://lms.example/client",
    "joinViaHtml5": "true",
    "userdata-bbb_auto_join_audio": "true",
    "userdata-bbb_custom_style": ":root{--loader-bg:#000}",
    "userdata-two-hyphens": "1",
    "random": "0.12345",
    "a parameter of tomorrow": "ä ö ü \N{GRINNING FACE}",
}


async def test_every_parameter_of_create_reaches_the_node(run: World) -> None:
    reply = await run.call("create", {"meetingID": "room-42", **CREATE})
    assert reply.ok, reply.text
    (call,) = await run.node_calls("create")
    sent = call["params"]
    assert {name: sent.get(name) for name in CREATE} == CREATE


@pytest.mark.parametrize("name", sorted(CREATE))
def test_a_parameter_of_create_may_be_empty(name: str) -> None:
    """Which is as if it were absent, except for the name."""
    violation = create_violation(Params({"meetingID": "room-42", "name": "Room", name: ""}))
    assert (violation is None) is (name != "name")


async def test_what_is_ours_never_reaches_the_node(run: World) -> None:
    ours = {
        "duration": "60",
        "meetingEndedURL": "https://lms.example/ended",
        "meta_endCallbackUrl": "https://lms.example/over",
        "parentMeetingID": "another-room",
        "renew": "true",
        "deactivateBbbserverDefaultChatTexts": "true",
        "deactivateDefaultChatTexts": "true",
        "format": "xml",
        "callback": "shown",
    }
    assert (await run.create(**ours)).ok
    (call,) = await run.node_calls("create")
    sent = {name.lower(): value for name, value in call["params"].items()}
    assert not {name.lower() for name in ours} & set(sent)
    assert "room-42" not in sent.values()


async def test_metadata_reaches_the_node_in_small_letters_and_only_once(run: World) -> None:
    assert (await run.create(meta_MyKey="x", META_no="y", meta_mykey="z", meta_my_key="u")).ok
    (call,) = await run.node_calls("create")
    sent = {name: value for name, value in call["params"].items() if "my" in name.lower()}
    # The node drops the name with an underscore, as it would without us.
    assert sent == {"meta_mykey": "x", "meta_my_key": "u"}
    info = await run.call("getMeetingInfo", {"meetingID": "room-42"})
    assert [str(child.tag) for child in info.root.iterfind("metadata/*")] == ["mykey"]


async def test_every_parameter_of_join_reaches_the_node(run: World) -> None:
    created = await run.create(moderatorPW="moderate-me")
    given = {**JOIN, "createTime": created["createTime"], "redirect": "true"}
    reply = await run.call("join", {"meetingID": "room-42", **given})
    assert reply.status == 302, reply.text
    location = urlsplit(reply.headers["Location"])
    sent = dict(parse_qsl(location.query, keep_blank_values=True))
    assert {name: sent.get(name) for name in given} == given
    assert sent["meetingID"] != "room-42"


@pytest.mark.parametrize("name", ["guest", "auth"])
@pytest.mark.parametrize(
    ("value", "key"),
    [("", ""), ("1", ""), ("FALSE", ""), ("None", "validationError"), ("yes", "validationError")],
)
async def test_booleans_of_join_are_judged_as_the_node_would(
    run: World, name: str, value: str, key: str
) -> None:
    await run.create()
    given = {"meetingID": "room-42", "fullName": "Ada", "role": "VIEWER", name: value}
    reply = await run.call("join", given)
    assert (reply.status == 302) is (not key)
    if key:
        assert reply.key == key
