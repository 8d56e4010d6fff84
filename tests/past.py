"""An organization with past usage, made through the ledger at the price of the old book."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from builders import Aurora
from stores import store_of
from tokenpool.compliance import verify
from tokenpool.config.wiring import ledger_commits
from tokenpool.invoicing import close, rerate
from tokenpool.kernel import clock, ids
from tokenpool.kernel.period import Month
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.models import Account
from tokenpool.limits.operations import Attribution, Authorize, Settle
from tokenpool.metering.record import RatedUsage
from tokenpool.organizations.roles import Principal, operator
from tokenpool.pricing import load
from tokenpool.pricing.book import Band, ModelPrice, PriceBook
from tokenpool.pricing.bound import Bound
from tokenpool.pricing.cost import rate

MODEL = "claude-opus-5-5"
LISTED = load.standard().price(MODEL, date(2026, 11, 24))
OLD = PriceBook([LISTED], {})
DOLLAR, MILLION = 1_000_000_000, 1_000_000
NOVEMBER = datetime(2026, 11, 24, 12, tzinfo=UTC)


def from_day(day: date, output_dollars: int) -> ModelPrice:
    """Return the price of a day on which the output price changed."""
    rates = replace(LISTED.bands[0].rates, output=output_dollars * DOLLAR)
    return replace(LISTED, version=f"{MODEL}@{day}", effective_from=day, bands=(Band(0, rates),))


CHEAPER = PriceBook([LISTED, from_day(date(2026, 10, 10), 18)], {})  # output at $18, not $20, since 10 October
DEARER = PriceBook([LISTED, from_day(date(2026, 10, 10), 18), from_day(date(2026, 10, 20), 25)], {})


@dataclass
class Past:
    """An organization with usage, made through the ledger."""

    org: Aurora
    database: Path | str

    @property
    def by(self) -> Principal:
        """The operator."""
        return operator(self.org.organization_id, "Olga")

    async def spend(self, *uses: tuple[Principal, datetime, int], groups: tuple[str, ...] = ()) -> None:
        """Use so many output tokens of Opus 5.5 at $20 a million, priced as the old book says."""
        store = store_of(self.database)
        commits = ledger_commits(store)
        for who, at, output in uses:
            with clock.standing_at(at):
                ask = Authorize(
                    ids.new("hold"), Attribution(who.member_id, "chat", "chat", groups=groups), MODEL, LISTED.version,
                    Bound(output * 20_000, 0, 1), at,
                )  # fmt: skip
                counts = TokenCounts(output=output)
                usage = RatedUsage(MODEL, LISTED.version, counts, rate(counts, LISTED))
                await commits.submit(self.org.organization_id, ask)
                await commits.submit(self.org.organization_id, Settle(ask.hold_id, (usage,), at))
        await store.close()

    def rerate(self, book: PriceBook, **more: Any) -> rerate.Rerated:
        """Re-rate October and November."""
        facts = {"first": date(2026, 10, 1), "last": date(2026, 11, 30), **more}
        return rerate.rerate(by=self.by, book=book, model=MODEL, **facts)

    def account(self, scope: str, key: str) -> int:
        """Return what an account has spent."""
        return Account.objects.get(
            organization_id=self.org.organization_id, scope=scope, window_key=key
        ).spent_nano  # fmt: skip

    def broken(self, book: PriceBook) -> list[str]:
        """Return what verification finds broken."""
        return [f"{one.invariant}: {one.broken}" for one in verify.check(book=book) if not one.holds]

    def close(self, year: int, month: int, at: datetime) -> dict[str, Any]:
        """Close a month and return its document."""
        with clock.standing_at(at):
            return close.stored(close.close_month(by=self.by, month=Month(year, month)))


def october(day: int) -> datetime:
    """Return noon of a day in October."""
    return datetime(2026, 10, day, 12, tzinfo=UTC)
