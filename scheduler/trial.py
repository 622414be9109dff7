"""A dry run: what the gateway would make of a create or join call, without making it.

Owns the account of it: what was sent, what each rule did, which seats and window would be asked
for, what the node would get, and the refusal. Reads the directory only; whether there is room is
not its question. Called by the command line and the management API.
"""

from typing import Any, Final

from scheduler.checks import NotFoundError, OperationError
from scheduler.directory_records import Credential, Directory, rules_of, terms_of
from schemas import params, rules
from schemas.params import Params, TooManyParamsError
from schemas.requested import Terms, requested
from schemas.rules import Applied
from schemas.values import Reason

CALLS: Final = ("create", "join")
_RANDOM: Final = "(random)"


def trial(directory: Directory, name: str, call: str, query: str) -> dict[str, Any]:
    """Return what would become of a call; `query` is encoded, a checksum in it is left out."""
    if call not in CALLS:
        raise OperationError(f"rules change {' and '.join(CALLS)} only; there is none for {call}")
    credential = directory.credential_by_name.get(name)
    if credential is None:
        raise NotFoundError(f"there is no credential {name}")
    try:
        sent = params.decode(query)
    except TooManyParamsError as error:
        raise OperationError(f"the query has {error}") from error
    sent.values.pop("checksum", None)
    found: dict[str, Any] = {
        "credential": credential.name,
        "call": call,
        "sent": dict(sent.values),
        "refusal": _refusal(credential, call, sent),
        "rules": [],
    }
    if found["refusal"] is not None:
        return found
    compiled = rules.compiled(rules.readable(rules_of(credential))[0])
    ruling = compiled.create if call == "create" else compiled.join
    applied = ruling.apply(sent) if ruling is not None else Applied(sent, ())
    found["rules"] = [_did(note) for note in applied.notes]
    if call == "join":
        return found | {"node": dict(applied.params.values)}
    return found | _asked(applied.params, applied.terms(terms_of(credential)))


def _refusal(credential: Credential, call: str, sent: Params) -> dict[str, str] | None:
    violation: params.Violation | None
    if not (credential.enabled and credential.subscription.enabled):
        violation = (Reason.DISABLED.value, "The credential or its subscription is switched off.")
    elif call in credential.refused_calls:
        violation = (Reason.UNSUPPORTED.value, "The credential refuses this call.")
    elif call == "create":
        violation = params.create_violation(sent)
    else:
        violation = params.join_violation(sent, known=True)
    return None if violation is None else {"key": violation[0], "message": violation[1]}


def _did(note: rules.Note) -> dict[str, Any]:
    return {
        "rule": note.rule.text,
        "held": note.held,
        "changed": [
            {"name": name, "before": before, "after": after} for name, before, after in note.changed
        ],
    }


def _asked(given: Params, terms: Terms) -> dict[str, Any]:
    """Return seats, window and what the node would get; passwords that would be made are not."""
    asked = requested(given, terms)
    node = dict(asked.doc["params"])
    for name, password in (
        ("attendeePW", asked.given_attendee_pw),
        ("moderatorPW", asked.given_moderator_pw),
    ):
        node[name] = password or _RANDOM
    return {
        "seats": asked.seats,
        "duration_s": asked.duration_s,
        "node": node,
        "callbacks": [url for url, _ in asked.doc["callbacks"]],
    }
