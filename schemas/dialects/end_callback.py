"""The two callbacks at the end of a meeting, as BBB makes them: GET, nothing signed.

Owns what is appended to the caller's URL. Pure. Called when the event is expanded.
"""

from schemas.dialects.appending import appended
from schemas.events import Event


def url(registered: str, kind: str, event: Event) -> str:
    """Return the URL of an end callback: kind `endCallbackUrl` or `meetingEndedURL`.

    The first gets BBB's two parameters appended, even if the URL carries a `meetingID` already;
    the second is called as it is.
    """
    if kind == "meetingEndedURL":
        return registered
    marks = "true" if event.get("data", {}).get("recordingMarks") else "false"
    return appended(registered, [("recordingmarks", marks), ("meetingID", event["meeting_id"])])
