"""What customers used: lines by day or month, as JSON or CSV.

Owns the grouping of the rows into lines, and who sees whose. The rows are counted by the placement
worker and read by `scheduler.usage_reading`. Only reads.
"""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Final

from scheduler import usage, usage_reading
from scheduler.checks import NotFoundError, OperationError
from scheduler.manage import paging
from scheduler.manage.context import Context
from scheduler.manage.operation import Document, Operation
from scheduler.usage import PEAKS, SUMS, WHOLE
from schemas.management.paging import Listed
from schemas.management.usage import UsageLine, UsageList

_DAYS: Final = 31
_DAYS_MAX: Final = 3_660
_EPOCH: Final = date(1970, 1, 1)

#: Period, subscription, credential.
_Group = tuple[str, int, int]


async def listed(context: Context, asked: UsageList) -> Listed[UsageLine] | Document:
    """List what was used, by day or month, subscription and credential; also as CSV."""
    behind = paging.read_cursor(asked.after, str, int, int)
    groups = _grouped(await _rows(context, asked), asked)
    if asked.format == "csv":
        lines = [_line(context, group, groups[group]) for group in sorted(groups)]
        content = _csv(lines).encode()
        return Document(content, "text/csv; charset=utf-8", filename="usage.csv")
    wanted = sorted(group for group in groups if behind is None or group > behind)
    return paging.page(
        wanted[: asked.limit + 1],
        asked.limit,
        keys=lambda group: group,
        shown=lambda group: _line(context, group, groups[group]),
    )


async def _rows(context: Context, asked: UsageList) -> usage_reading.Rows:
    last = asked.last_day or datetime.now(UTC).date()
    first = asked.first_day or max(last, _EPOCH + timedelta(_DAYS)) - timedelta(_DAYS - 1)
    if first > last:
        raise OperationError("the first day is after the last one")
    if (last - first).days >= _DAYS_MAX:
        raise OperationError(f"that is too long: ask for at most {_DAYS_MAX} days at once")
    wanted, only = _wanted(context, asked)
    found = await usage_reading.rows(
        context.database,
        first_day=(first - _EPOCH).days,
        last_day=(last - _EPOCH).days,
        subscription_id=wanted,
    )
    if only is None:
        return found
    return {key: row for key, row in found.items() if key[2] == only}


def _wanted(context: Context, asked: UsageList) -> tuple[int | None, int | None]:
    """Return subscription and credential that are asked for; raises when they are not seen."""
    subscription = context.only
    if asked.subscription is not None:
        subscription = context.subscription(asked.subscription).id
    if asked.credential is None:
        return subscription, None
    credential = context.directory.current.credential_by_name.get(asked.credential)
    if (
        credential is None
        or not context.sees(credential.subscription_id)
        or subscription not in (None, credential.subscription_id)
    ):
        raise NotFoundError(f"there is no credential {asked.credential}")
    return credential.subscription_id, credential.id


def _grouped(found: usage_reading.Rows, asked: UsageList) -> dict[_Group, list[int]]:
    """Return the rows added up; the peaks of subscriptions come from rows of their own."""
    split = asked.split == "credential" or asked.credential is not None
    groups: dict[_Group, list[int]] = {}
    for (day, subscription, credential), row in found.items():
        if split and credential == WHOLE:
            continue
        at = _EPOCH + timedelta(day)
        period = at.isoformat() if asked.by == "day" else f"{at:%Y-%m}"
        group = (period, subscription, credential if split else WHOLE)
        values = groups.setdefault(group, [0] * len(row))
        for which, value in enumerate(row):
            if which < len(SUMS):
                values[which] += value
            elif split or credential == WHOLE:
                values[which] = max(values[which], value)
    return groups


def _line(context: Context, group: _Group, values: list[int]) -> UsageLine:
    period, subscription, credential = group
    directory = context.directory.current
    owner = directory.subscriptions.get(subscription)
    found = directory.credentials.get(credential)
    name = None if credential == WHOLE else found.name if found else f"#{credential}"
    return UsageLine(
        period=period,
        # One that was removed meanwhile has no name any more.
        subscription=owner.slug if owner is not None else f"#{subscription}",
        credential=name,
        **dict(zip(usage.COLUMNS, values, strict=True)),
    )


def _csv(lines: list[UsageLine]) -> str:
    text = io.StringIO()
    names = ("period", "subscription", "credential", *SUMS, *PEAKS)
    writer = csv.DictWriter(text, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(line.model_dump() for line in lines)
    return text.getvalue()


OPERATIONS: Final = (
    Operation(
        *("usage.list", "GET", "/usage", listed, UsageList, Listed[UsageLine]),
        gives=("text/csv",),
    ),
)
