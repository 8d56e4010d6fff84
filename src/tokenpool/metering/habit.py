"""What a member usually uses, from the daily sums: the expectation in a quote, never a bill."""

from dataclasses import dataclass
from datetime import date, timedelta

from tokenpool.kernel.group_commit import Statement, Store
from tokenpool.kernel.tokens import TokenCounts

DAYS = 30
_SUMS = (
    "sum(requests), sum(input_tokens), sum(cache_read_tokens), sum(cache_write_5m_tokens), "
    "sum(cache_write_1h_tokens), sum(output_tokens)"
)
_MINE = (
    f"select model, {_SUMS} from metering_dailyusage where organization_id = ? and day in (?*) and member_id = ? "  # noqa: S608 - our own names
    "group by model"
)


@dataclass(frozen=True, slots=True)
class Habit:
    """A member's requests of the last thirty days and the tokens of them all; of one model, or of all."""

    basis: str  # model: of the one asked for; member: of every model
    requests: int
    counts: TokenCounts

    def expect(self, prompt: int, *, most_output: int, caches: bool) -> TokenCounts:
        """Return the counts of a request with *prompt* tokens that is like the others.

        The output is their average, rounded up; where the request *caches*, the prompt falls into
        the classes as theirs did, what rounding leaves over into plain input.
        """
        output = min(most_output, -(-self.counts.output // self.requests))
        if not caches or not self.counts.prompt:
            return TokenCounts(input=prompt, output=output)
        seen = (self.counts.cache_read, self.counts.cache_write_5m, self.counts.cache_write_1h)
        read, write_5m, write_1h = (prompt * tokens // self.counts.prompt for tokens in seen)
        return TokenCounts(prompt - read - write_5m - write_1h, read, write_5m, write_1h, output)


async def habit(store: Store, organization_id: str, member_id: str, *, model: str, today: date) -> Habit | None:
    """Return the habit of a member with *model*, else with any, in the thirty days up to *today*; None without any."""
    days = [(today - timedelta(days=back)).isoformat() for back in range(DAYS)]
    rows = await store.read(*Statement(_MINE, [(organization_id, days, member_id)]).spelled_out())
    found = {row[0]: [int(value) for value in row[1:]] for row in rows}
    sums, basis = found.get(model), "model"
    if sums is None or not sums[0]:
        sums, basis = [sum(column) for column in zip(*found.values(), strict=True)], "member"
    if not sums or not sums[0]:
        return None
    return Habit(basis, sums[0], TokenCounts(*sums[1:]))
