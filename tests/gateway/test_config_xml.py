"""getDefaultConfigXML, setConfigXML, configXML: for pools whose nodes have them."""

import dataclasses
from urllib.parse import quote_plus, urlencode

from schemas import checksum, params
from tests.gateway.world import OTHER_SECRET, SECRET, Reply, World

OTHER = "/t/other/bigbluebutton/api"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DOCUMENT = '<config version="1">\n<a b="ä &amp; c"/></config>'


def _legacy(run: World, *, number: int | None = None) -> None:
    for node in run.nodes if number is None else [run.nodes[number]]:
        node.node.settings = dataclasses.replace(node.node.settings, legacy_config_xml=True)


async def _stored(
    run: World,
    document: str | None = DOCUMENT,
    *,
    secret: str = SECRET,
    prefix: str = "/bigbluebutton/api",
    algorithm: str = "sha1",
    extra: str = "",
    meeting_id: str | None = "room-42",
) -> Reply:
    fields = {} if document is None else {"configXML": quote_plus(document)}
    if meeting_id is not None:
        fields["meetingID"] = meeting_id
    form = urlencode({**fields, "defaultConfig": "true"})
    signed = checksum.sign("setConfigXML", params.sorted_query(form), secret, algorithm=algorithm)
    body = f"{form}&checksum={signed}{extra}".encode()
    return await run.raw("POST", run.url("setConfigXML", prefix=prefix), data=body, headers=FORM)


async def test_nodes_of_today_do_not_have_the_calls(run: World) -> None:
    await run.create()
    assert (await run.call("getDefaultConfigXML")).key == "unsupportedRequest"
    assert (await _stored(run)).key == "unsupportedRequest"


async def test_the_document_of_an_old_node_comes_as_it_is(run: World) -> None:
    _legacy(run)
    reply = await run.call("getDefaultConfigXML")
    assert reply.text.startswith("<config ")
    assert reply.headers["Content-Type"].startswith("text/xml")
    assert (await run.call("getDefaultConfigXML", secret="wrong")).key == "checksumError"
    await run.fault("failed", key="noConfigFound", message="none")
    assert (await run.call("getDefaultConfigXML")).key == "noConfigFound"
    await run.fault("refuse")
    assert (await run.call("getDefaultConfigXML")).key == "serviceUnavailable"


async def test_one_node_that_has_the_call_is_enough(run: World) -> None:
    _legacy(run, number=1)
    assert (await run.call("getDefaultConfigXML")).text.startswith("<config ")


async def test_a_document_is_kept_at_the_meetings_node_and_shown_to_who_is_in(run: World) -> None:
    _legacy(run)
    await run.create()
    token = (await _stored(run))["configToken"]
    assert len(token) == 8
    node, at_node = run.node_of("room-42")
    (kept,) = node.node.state.configs.values()
    assert kept[token] == DOCUMENT
    (sent,) = await run.node_calls("setConfigXML")
    assert sent["params"]["meetingID"] == at_node
    joined = await run.call(
        "join",
        {
            "meetingID": "room-42",
            "fullName": "Ada",
            "role": "VIEWER",
            "redirect": "false",
            "configToken": token,
        },
    )
    (join,) = await run.node_calls("join")
    assert join["params"]["configToken"] == token
    shown = await run.raw("GET", run.url("configXML", f"sessionToken={joined['session_token']}"))
    assert shown.text == DOCUMENT


async def test_the_published_signature_of_a_document_is_accepted(run: World) -> None:
    """With the second secret of the contract's vectors, which is the default credential's here."""
    _legacy(run)
    await run.create()
    body = urlencode({"configXML": "%3Cconfig+version%3D%221%22%2F%3E", "meetingID": "room-42"})
    given = f"{body}&checksum=a46c1940c3ba90bab51954c285e3752b51c07298".encode()
    assert (await run.raw("POST", run.url("setConfigXML"), data=given, headers=FORM)).ok


async def test_nothing_of_an_unsigned_document_is_looked_at(run: World) -> None:
    _legacy(run)
    await run.create()
    unsigned = await run.raw(
        "POST", run.url("setConfigXML"), data=b"meetingID=room-42&configXML=x", headers=FORM
    )
    assert unsigned.key == "checksumError"
    assert (await run.raw("POST", run.url("setConfigXML"))).key == "checksumError"
    for meeting_id in ("room-42", "unknown"):
        wrong = await _stored(run, secret=OTHER_SECRET, meeting_id=meeting_id)
        assert wrong.key == "configXMLChecksumError"
    nobody = await _stored(run, prefix="/t/nobody/bigbluebutton/api")
    assert nobody.key == "configXMLChecksumError"
    added = await _stored(run, extra="&more=x")
    assert added.key == "configXMLChecksumError"
    twice = await _stored(run, extra="&checksum=x")
    assert twice.key == "checksumError"
    plain = checksum.sign("setConfigXML", "", SECRET)
    ordinary = f"meetingID=room-42&configXML={quote_plus(DOCUMENT)}&checksum={plain}".encode()
    replayed = await run.raw("POST", run.url("setConfigXML"), data=ordinary, headers=FORM)
    assert replayed.key == "configXMLChecksumError", "an ordinary signature covers no body"
    assert not await run.node_calls("setConfigXML")


async def test_what_is_wrong_with_a_document_is_told(run: World) -> None:
    _legacy(run)
    await run.create()
    assert (await _stored(run, None)).key == "configXMLError"
    assert (await _stored(run, "<config>"))["message"] == "Cannot decode config XML"
    doctype = '<!DOCTYPE c [<!ENTITY e SYSTEM "file:///etc/passwd">]><c>&e;</c>'
    assert (await _stored(run, doctype)).key == "configXMLError"
    assert (await _stored(run, meeting_id=None)).key == "missingParamMeetingID"
    assert (await _stored(run, meeting_id="unknown")).key == "invalidMeetingIdentifier"
    assert not await run.node_calls("setConfigXML")
    _, at_node = run.node_of("room-42")
    await run.fault("failed", call="setConfigXML", key="oops", message=f"no {at_node}")
    assert (await _stored(run))["message"] == "no room-42"


async def test_nobody_changes_the_document_of_another_credential(run: World) -> None:
    _legacy(run)
    await run.create()
    stolen = await _stored(run, prefix=OTHER, secret=OTHER_SECRET)
    assert stolen.key == "invalidMeetingIdentifier"
