"""What the operator has agreed with an organization about prices: dated rows, added and never edited.

Only the operator sets them; the organization sees them. A row raises the gate's version, so it acts
on the next request of every process. A row that begins in the past is a correction: it re-prices
nothing by itself, `tokenpool prices rerate` does.
"""

from collections.abc import Mapping
from datetime import date

from django.db import transaction

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotFound
from tokenpool.organizations import trail
from tokenpool.organizations.models import Gate, OwnPrice
from tokenpool.organizations.roles import Principal, Right
from tokenpool.pricing.book import ModelPrice, PriceBook
from tokenpool.pricing.own import OwnBook, OwnPrices, OwnRow, checked_amounts, components, scope_of

REASON_LENGTH = 200


def set_price(
    *,
    by: Principal,
    book: PriceBook,
    effective_from: date,
    reason: str,
    model: str = "",
    provider: str = "",
    ppm: int = 0,
    amounts: Mapping[str, str] | None = None,
    in_the_past: bool = False,
    confirmed: bool = False,
) -> OwnPrice:
    """Set the own price of *model*, else *provider*, else all models, from a UTC day on.

    The list price changes by *ppm* parts per million, except the components named in *amounts*
    (dollars as text). The row replaces the scope's row before it as a whole.

    Raises:
        NotAllowed: anybody but the operator.
        InvalidInput, UnknownModel: no such model, provider or component; no reason; a day in the past that is
            not said to be one; amounts for more than one model.
        Conflict: an amount moves by more than 50 % and *confirmed* is not given.
    """
    by.require(Right.SET_PRICES)
    scope, listed = scope_of(model=model, provider=provider, book=book, day=effective_from)
    checked = checked_amounts(amounts or {}, scope, listed)
    fresh = OwnRow(ids.new("own"), scope, effective_from, ppm, checked)
    if not confirmed:
        _check_size(fresh, listed, of(by.organization_id))
    return _add(by, fresh, reason=reason, in_the_past=in_the_past)


def end_price(
    *,
    by: Principal,
    book: PriceBook,
    effective_from: date,
    reason: str,
    model: str = "",
    provider: str = "",
    in_the_past: bool = False,
) -> OwnPrice:
    """End the own price of a scope with a UTC day: from then on the wider scope's decides, or the list.

    Raises:
        NotAllowed, InvalidInput, UnknownModel: as `set_price`.
        NotFound: the scope has no own price on that day.
    """
    by.require(Right.SET_PRICES)
    scope, _ = scope_of(model=model, provider=provider, book=book, day=effective_from)
    if of(by.organization_id).standing(scope, effective_from) is None:
        raise NotFound("There is no own price at this level on that day.")
    row = OwnRow(ids.new("own"), scope, effective_from, ended=True)
    return _add(by, row, reason=reason, in_the_past=in_the_past)


def history(*, by: Principal) -> list[OwnPrice]:
    """Return every row of the organization with who and why, newest first.

    Raises:
        NotAllowed: without the right to see everybody's spend.
    """
    by.require(Right.SEE_SPEND)
    return list(OwnPrice.objects.filter(organization_id=by.organization_id).order_by("-id"))


def of(organization_id: str) -> OwnPrices:
    """Return the own prices of an organization as they stand now."""
    return OwnPrices(as_row(row) for row in OwnPrice.objects.filter(organization_id=organization_id))


def book_of(organization_id: str, book: PriceBook) -> OwnBook:
    """Return *book* as the organization sees it."""
    return OwnBook(book, of(organization_id))


def as_row(row: OwnPrice) -> OwnRow:
    """Return a stored row as pricing knows it."""
    return OwnRow(row.id, row.scope, date.fromisoformat(row.effective_from), row.ppm, row.amounts, row.ended)


def _check_size(fresh: OwnRow, listed: list[ModelPrice], own: OwnPrices) -> None:
    """Do nothing if no amount moves by more than half.

    Raises:
        Conflict: naming the first that does.
    """
    after_it = OwnPrices([*own.rows, fresh])
    for price in listed:
        before = components(own.on(price, fresh.effective_from))
        for name, nano in components(after_it.on(price, fresh.effective_from)).items():
            if 2 * abs(nano - before[name]) > before[name]:
                percent = (nano - before[name]) * 100 // before[name]
                raise Conflict(f"{price.model}, {name}: moves by {percent:+} %; confirm it if it is meant so.")


def _add(by: Principal, row: OwnRow, *, reason: str, in_the_past: bool) -> OwnPrice:
    cleaned = " ".join(reason.split())
    if not cleaned or len(cleaned) > REASON_LENGTH or not cleaned.isprintable():
        raise InvalidInput(f"reason: must be 1 to {REASON_LENGTH} printable characters.", field="reason")
    today = clock.now().date()
    if row.effective_from < today and not in_the_past:
        sentence = f"effective_from: {row.effective_from} is past and would re-price nothing; say that it is meant so."
        raise InvalidInput(sentence, field="effective_from")
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        before = OwnPrice.objects.filter(organization_id=by.organization_id).order_by("-id").first()
        stored = OwnPrice.objects.create(
            organization_id=by.organization_id, id=ids.new("own", after=before.id if before else ""), scope=row.scope,
            effective_from=row.effective_from.isoformat(), ppm=row.ppm, amounts=dict(row.amounts), ended=row.ended,
            set_at=clock.now(), set_by=by.name, reason=cleaned,
        )  # fmt: skip
        trail.bump(by.organization_id)
        trail.note(by, Action.OWN_PRICE_SET, ("own_price", stored.id), before=_before(stored), after=_facts(stored))
    return stored


def _before(stored: OwnPrice) -> dict[str, object] | None:
    """Return the facts of the row that the new one follows in its scope."""
    rows = OwnPrice.objects.filter(
        organization_id=stored.organization_id, scope=stored.scope, effective_from__lte=stored.effective_from
    )
    found = rows.exclude(id=stored.id).order_by("-effective_from", "-id").first()
    return _facts(found) if found else None


def _facts(row: OwnPrice) -> dict[str, object]:
    names = ("scope", "effective_from", "ppm", "amounts", "ended", "reason")
    return {name: getattr(row, name) for name in names}
