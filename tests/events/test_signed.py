"""Facts about signed JSON, with the reference library of Standard Webhooks as the receiver."""

import base64
import time
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from schemas.dialects import signed
from schemas.dialects.outgoing import Outgoing, outgoing
from tests.events.builders import AT_MS, event

SOURCE = "/t/acme-5"


def sent(*secrets: str, at_s: float | None = None, **fields: Any) -> Outgoing:
    now_ms = round((time.time() if at_s is None else at_s) * 1_000)
    return outgoing(
        "signed",
        url="https://app.example/hook",
        body=signed.document(event(**fields), SOURCE),
        event_id="e1",
        created_ms=AT_MS,
        now_ms=now_ms,
        secrets=secrets,
    )


def test_the_reference_library_takes_what_we_sign() -> None:
    secret = signed.new_secret()
    got = sent(secret, user_id="Zoë & co", data={"note": "ü\u2028"})
    payload = Webhook(secret).verify(got.body.decode(), got.headers)
    assert payload["data"]["userID"] == "Zoë & co"
    with pytest.raises(WebhookVerificationError):
        Webhook(signed.new_secret()).verify(got.body.decode(), got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(got.body.decode() + " ", got.headers)


def test_while_a_secret_is_replaced_both_are_taken() -> None:
    old, new = signed.new_secret(), signed.new_secret()
    got = sent(new, old)
    for secret in (old, new):
        assert Webhook(secret).verify(got.body.decode(), got.headers)


def test_an_attempt_carries_its_own_time_and_the_event_its_id() -> None:
    secret = signed.new_secret()
    late, now = sent(secret, at_s=time.time() - 3_600), sent(secret)
    assert late.headers["webhook-id"] == now.headers["webhook-id"] == "e1"
    assert late.body == now.body
    assert late.headers["webhook-signature"] != now.headers["webhook-signature"]
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(late.body.decode(), late.headers)


def test_a_secret_of_another_form_signs_with_its_letters() -> None:
    got = sent("a-secret-of-a-credential")
    key = base64.b64encode(b"a-secret-of-a-credential").decode()
    assert Webhook(f"whsec_{key}").verify(got.body.decode(), got.headers)


def test_the_body_is_a_cloud_event() -> None:
    document = orjson.loads(sent("secret-1").body)
    assert document == {
        "specversion": "1.0",
        "id": "e1",
        "source": SOURCE,
        "type": "seatkeep.userLeft",
        "time": "2024-06-10T06:14:00.000Z",
        "datacontenttype": "application/json",
        "subject": "room-42",
        "data": {
            "meetingID": "room-42",
            "internalMeetingID": document["data"]["internalMeetingID"],
            "userID": "staff-7",
            "internalUserID": "w_x1",
            "userName": "Ada",
            "moderator": False,
        },
    }
    assert sent("secret-1").headers["Content-Type"].startswith("application/cloudevents+json")


@pytest.mark.parametrize(
    ("entered", "fits"),
    [
        pytest.param(signed.new_secret(), True, id="a new one"),
        ("whsec_" + base64.b64encode(b"x" * 24).decode(), True),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), False),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), False),
        ("whsec_", False),
        ("whsec_!!!!", False),
        ("whsec_ü", False),
        ("x" * 40, False),
    ],
)
def test_which_secrets_the_libraries_of_receivers_take(entered: str, *, fits: bool) -> None:
    assert signed.fitting_secret(entered) is fits
