"""The page that users land on by join, with the name, the meeting and a Leave button.

Owns `/html5client/`: opening the page makes the user present, Leave or closing it lets them go.
Never checks signatures: the session token is the credential. Wired by `app`.
"""

import html
from typing import Final

from aiohttp import web

from deploy.simulator.model import Meeting, User
from deploy.simulator.node import NODE
from deploy.simulator.state import Full

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f4f5f7;color:#1b1f24}"
    "main{max-width:40rem;margin:10vh auto;padding:2rem;background:#fff;border-radius:.5rem;"
    "box-shadow:0 1px 4px #0003}h1{margin-top:0;font-size:1.4rem;overflow-wrap:anywhere}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem}dt{color:#59636e}"
    "dd{margin:0;overflow-wrap:anywhere}button{font:inherit;padding:.5rem 1.5rem;border:0;"
    "border-radius:.3rem;background:#b3261e;color:#fff;cursor:pointer}"
    "button:focus-visible{outline:3px solid #1b6ef3;outline-offset:2px}"
)
_SCRIPT: Final = """
const token = document.body.dataset.token, connection = document.body.dataset.connection;
let leaving = false;
document.getElementById("leave").addEventListener("submit", () => { leaving = true; });
addEventListener("pagehide", () => {
  if (leaving) return;
  const gone = new URLSearchParams({sessionToken: token, connection: connection});
  navigator.sendBeacon("/html5client/gone", gone);
});
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
const timer = setInterval(async () => {
  const answer = await fetch("/html5client/news?sessionToken=" + token).catch(() => null);
  if (!answer) return;
  if (answer.status === 404) {
    clearInterval(timer);
    leaving = true;
    document.querySelector("main").innerHTML =
      "<h1>The meeting has ended</h1><p>You can close this window.</p>";
    return;
  }
  const news = await answer.json();
  document.getElementById("people").textContent = news.users;
  const list = document.getElementById("chat");
  list.replaceChildren(...news.messages.map((message) => {
    const item = document.createElement("li");
    item.textContent = message.sender + ": " + message.message;
    return item;
  }));
}, 2000);
"""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; base-uri 'none'"
    ),
}


def routes() -> list[web.RouteDef]:
    """Return the page's routes."""
    return [
        web.get("/html5client/", open_page),
        web.get("/html5client/news", news),
        web.post("/html5client/leave", leave),
        web.post("/html5client/gone", gone),
    ]


async def open_page(request: web.Request) -> web.Response:
    """Show the page; the user is present from now on."""
    node = request.app[NODE]
    user = node.state.sessions.get(request.query.get("sessionToken", ""))
    if user is None:
        return _page("This session is over", "<p>Join the meeting again.</p>", status=404)
    try:
        node.state.connect(user, node.clock.now_ms())
    except Full:
        return _page("The meeting is full", "<p>Nobody else can join now.</p>", status=403)
    node.settle()
    meeting = node.state.meetings[user.meeting_id]
    return _page(meeting.name, _inside(node.settings.name, meeting, user), user=user)


async def news(request: web.Request) -> web.Response:
    """Answer what the open page shows; 404 when the meeting or the session is over."""
    state = request.app[NODE].state
    user = state.sessions.get(request.query.get("sessionToken", ""))
    if user is None:
        raise web.HTTPNotFound
    meeting = state.meetings[user.meeting_id]
    return web.json_response(
        {"users": len(state.users_of(meeting)), "messages": meeting.messages}, headers=_HEADERS
    )


async def leave(request: web.Request) -> web.Response:
    """Let the user go, to the meeting's logout URL if it has one."""
    node = request.app[NODE]
    form = await request.post()
    user = node.state.sessions.get(str(form.get("sessionToken", "")))
    logout_url = ""
    if user is not None:
        logout_url = node.state.meetings[user.meeting_id].logout_url
        node.state.leave(user, node.clock.now_ms())
        node.settle()
    if logout_url.startswith(("http://", "https://")):
        return web.Response(status=303, headers={**_HEADERS, "Location": logout_url})
    return _page("You have left the meeting", "<p>You can close this window.</p>")


async def gone(request: web.Request) -> web.Response:
    """Note that the page was closed, unless it was opened again since."""
    node = request.app[NODE]
    form = await request.post()
    user = node.state.sessions.get(str(form.get("sessionToken", "")))
    if user is not None and str(user.connection) == form.get("connection"):
        node.state.leave(user, node.clock.now_ms(), keep_session=True)
        node.settle()
    return web.Response(status=204)


def _inside(node_name: str, meeting: Meeting, user: User) -> str:
    token = html.escape(user.token)
    rows = {"Name": user.name, "Role": user.role.capitalize(), "Node": node_name}
    shown = "".join(
        f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in rows.items()
    )
    welcome = f"<p>{html.escape(meeting.welcome)}</p>" if meeting.welcome else ""
    return (
        f"<dl>{shown}<dt>Present</dt><dd id='people'>…</dd></dl>{welcome}"
        "<ul id='chat' aria-live='polite' aria-label='Chat'></ul>"
        "<form id='leave' method='post' action='/html5client/leave'>"
        f"<input type='hidden' name='sessionToken' value='{token}'>"
        f"<button type='submit'>Leave</button></form><script>{_SCRIPT}</script>"
    )


def _page(title: str, content: str, *, status: int = 200, user: User | None = None) -> web.Response:
    data = f" data-token='{user.token}' data-connection='{user.connection}'" if user else ""
    shown = html.escape(title)
    text = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{shown}</title><style>{_STYLE}</style></head>"
        f"<body{data}><main><h1>{shown}</h1>{content}</main></body></html>"
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=_HEADERS)
