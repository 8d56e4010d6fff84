"""What the hold API is told: its bodies, what they bound, and usage as a provider or token classes name it."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from tokenpool.gateway.body import parse_body
from tokenpool.gateway.received import read_body
from tokenpool.gateway.settle import EstimateFacts
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import nano_from_decimal_text
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.operations import LEASE_SECONDS
from tokenpool.metering import extract, openai
from tokenpool.metering.extract import MOST_TOKENS, Reported
from tokenpool.pricing.book import TOKENS_PER_PRICE, ModelPrice
from tokenpool.pricing.bound import Bound, Shape, largest_cost

Body = TypeVar("Body", bound=BaseModel)
Lease = Field(default=LEASE_SECONDS, ge=1, le=86_400)
Tokens = Field(default=0, ge=0, le=MOST_TOKENS)
MOST_SECONDS = 31 * 86_400
_STRICT = ConfigDict(extra="forbid", strict=True)


def _storable(text: str) -> str:
    """Refuse what PostgreSQL cannot keep: it would fail the batch it is in, for everybody."""
    if "\0" in text:
        raise PydanticCustomError("nul", "must not hold a NUL character")
    return text


Text = Annotated[str, AfterValidator(_storable)]


class Wanted(BaseModel):
    """The body of `POST holds`: who asks what of which model, bounded in tokens or in dollars."""

    model_config = _STRICT
    member: Text = Field(min_length=1, max_length=254)
    product: Literal["chat", "claude_code", "api"]
    model: Text = Field(min_length=1, max_length=80)
    max_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    input_tokens_bound: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    amount: str | None = Field(default=None, max_length=40)
    web_searches: int = Field(default=0, ge=0, le=10_000)
    code_execution_seconds: int = Field(default=0, ge=0, le=MOST_SECONDS)
    request_id: Text = Field(default="", max_length=120)
    lease_seconds: int = Lease


class Classes(BaseModel):
    """Usage in token classes."""

    model_config = _STRICT
    input: int = Tokens
    cache_read: int = Tokens
    cache_write_5m: int = Tokens
    cache_write_1h: int = Tokens
    output: int = Tokens
    web_search_requests: int = Field(default=0, ge=0, le=10_000)
    code_execution_seconds: int = Field(default=0, ge=0, le=MOST_SECONDS)


class Used(BaseModel):
    """The body of `settle`: a provider's usage object, or token classes."""

    model_config = _STRICT
    usage: dict[str, Any] = Field(min_length=1)


class Leased(BaseModel):
    """The body of `extend`."""

    model_config = _STRICT
    lease_seconds: int = Lease


class Reason(BaseModel):
    """The body of `void`."""

    model_config = _STRICT
    reason: Text = Field(min_length=1, max_length=60)


async def read(request: Request, shape: type[Body]) -> Body:
    """Return the body in its *shape*.

    Raises:
        InvalidInput: a field is missing, unknown, of another type or out of range; it is named.
    """
    body, _ = parse_body(await read_body(request))
    return _valid(body, shape)


def bound(wanted: Wanted, price: ModelPrice) -> tuple[Bound, EstimateFacts]:
    """Return the largest cost, and what an estimate would start from should nobody ever settle.

    Raises:
        InvalidInput: both an amount and tokens, or not all of them; names the field.
    """
    if wanted.amount is not None:
        if wanted.max_tokens is not None or wanted.input_tokens_bound is not None:
            raise InvalidInput("amount: give either an amount or tokens, not both.", field="amount")
        nano = nano_from_decimal_text(wanted.amount, field="amount")
        input_bound = nano * TOKENS_PER_PRICE // max(1, price.bands[0].rates.input)
        return Bound(nano, 0, 0), _estimate_facts(input_bound, 0)
    for name in ("max_tokens", "input_tokens_bound"):
        if getattr(wanted, name) is None:
            raise InvalidInput(f"{name}: must be given, unless an amount is.", field=name)
    most_input, most_output = wanted.input_tokens_bound or 0, wanted.max_tokens or 0
    shape = Shape(
        most_input,
        most_output,
        cache_5m=True,
        cache_1h=True,
        us_possible=True,
        web_searches=wanted.web_searches,
        code_execution_seconds=wanted.code_execution_seconds,
    )
    return largest_cost(shape, price), _estimate_facts(most_input, most_output)


def reported(usage: dict[str, Any]) -> Reported:
    """Read a provider's usage object, Anthropic's or OpenAI's (each by the names it has), or token classes.

    Raises:
        InvalidInput: a count is missing, unknown, of another type or out of range; it is named.
    """
    for names in (openai.CHAT, openai.RESPONSES):
        if names.prompt in usage and (names is openai.CHAT or "total_tokens" in usage):
            found = openai.reported(names, usage, None)
            if found is None:
                raise InvalidInput(f"usage.{names.output}: is missing, or nothing was used.", field="usage")
            return found
    if "input_tokens" in usage or "output_tokens" in usage:
        for name in ("input_tokens", "output_tokens"):
            if usage.get(name) is None:
                raise InvalidInput(f"usage.{name}: must be given, 0 if there were none.", field=f"usage.{name}")
        for name in ("cache_creation", "server_tool_use"):
            if not isinstance(usage.get(name), dict | None):
                raise InvalidInput(f"usage.{name}: must be an object or null.", field=f"usage.{name}")
        return extract.reported(usage)
    return Reported(((None, TokenCounts(**_valid(usage, Classes, "usage").model_dump())),))


def _valid(given: object, shape: type[Body], *place: str) -> Body:
    """Return what stands at *place* in its *shape*."""
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in (*place, *first["loc"]))
        raise InvalidInput(f"{field}: {first['msg'][0].lower()}{first['msg'][1:]}.", field=field) from error


def _estimate_facts(input_bound: int, max_output: int) -> EstimateFacts:
    return {
        "input_bound": input_bound,
        "prompt_bound": input_bound,
        "max_output": max_output,
        "us_only": False,
        "fast": False,
        "tools_nano": 0,
    }
