"""Answers of commands that are refused, as sentences and figures.

Owns how a verdict of the core becomes an answer, and who may reserve at all. Called by the modules
that decide commands.
"""

from typing import Final

from scheduler.core import commands as core
from scheduler.wording import wording_in
from schemas import refusals
from schemas.messages import Answer
from schemas.refusals import Wording
from schemas.values import Reason
from workers.shard import Shard

#: Refusals of the core that are not about seats.
WITHOUT_FIGURES: Final = frozenset(
    (Reason.NO_PARENT, Reason.NOT_UNIQUE, Reason.NOT_FOUND, Reason.UNSUPPORTED)
)


def words_of(shard: Shard, credential: int) -> Wording:
    """Return how a credential is spoken to."""
    return wording_in(shard.directory, credential, shard.zone)


def bare(reason: Reason) -> Answer:
    """Return the answer of a refusal without figures."""
    return {"ok": False, "reason": reason.value, "message": refusals.sentence(reason)}


def refusal(verdict: core.Refused, now_s: int, words: Wording = refusals.PLAIN) -> Answer:
    """Return the answer of a refused command, with its figures as a sentence."""
    detail = verdict.detail
    figures = refusals.Figures(
        free_seats=detail.free_seats,
        seats=detail.seats,
        asked_seats=detail.asked_seats,
        duration_s=detail.duration_s,
        fits_at_s=detail.fits_at_s,
        permanent=detail.permanent,
        of_credential=detail.of_credential,
    )
    if verdict.reason in WITHOUT_FIGURES:
        message = refusals.sentence(verdict.reason, words)
    else:
        message = refusals.seats_sentence(verdict.reason, figures, now_s=now_s, wording=words)
    answer: Answer = {"ok": False, "reason": verdict.reason.value, "message": message}
    if detail.fits_at_s is not None:
        answer["fits_at_s"] = detail.fits_at_s
    return answer


def enabled(shard: Shard, credential_id: int, subscription_id: int) -> bool:
    """Whether the credential may reserve seats of the subscription in this pool."""
    if shard.directory is None:
        return False
    credential = shard.directory.credentials.get(credential_id)
    return (
        credential is not None
        and credential.enabled
        and credential.subscription.enabled
        and credential.subscription_id == subscription_id
        # It may have moved to another pool while the command was on its way.
        and credential.subscription.pool_id == shard.pool_id
        and credential.subscription_id in shard.pool.subscriptions
    )
