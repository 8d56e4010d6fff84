"""How figures look on a page: money, counts, instants, budget bars; all in the reader's language."""

from datetime import datetime
from typing import Any

from babel.dates import format_datetime, format_skeleton
from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from tokenpool.kernel import clock
from tokenpool.kernel.display import count_text, money_text
from tokenpool.kernel.money import NANO_PER_CENT, dollars
from tokenpool.kernel.period import Month, Window
from tokenpool.limits import scopes
from tokenpool.limits.lines import LimitLine
from tokenpool.limits.models import LastRefusal, SpendLimit

register = template.Library()
BAR_WIDTH = 1000
LEVELS = ((100, "bad"), (90, "high"), (75, "warn"))


@register.filter
def money(nano: int | None) -> SafeString | str:
    """Return an amount with its exact value as title; a dash for what is absent."""
    if not isinstance(nano, int):
        return "-"
    return format_html('<data value="{}" title="{} USD">{}</data>', nano, dollars(nano), money_text(nano, language()))


@register.filter
def plain_money(nano: int) -> str:
    """Return an amount without markup."""
    return money_text(nano, language())


@register.filter
def amount_field(nano: int | None) -> str:
    """Return an amount as somebody would type it in their locale, without the currency."""
    if not isinstance(nano, int):
        return ""
    text = dollars(nano)
    return text.replace(".", ",") if language().startswith("it") else text


@register.filter
def count(number: int) -> str:
    """Return a whole number with thousands."""
    return count_text(number, language())


@register.filter
def price(nano_per_mtok: int) -> str:
    """Return a price per million tokens with the digits it needs."""
    exact = dollars(nano_per_mtok)
    text = exact.replace(".", ",") if language().startswith("it") else exact
    return f"{text} $" if language().startswith("it") else f"${text}"


@register.filter
def percent(ppm: int) -> str:
    """Return parts per million as a percentage, with the digits it needs: `95 %`, `-2.5 %`."""
    whole, rest = divmod(abs(ppm), 10_000)
    text = f"{'-' if ppm < 0 else ''}{whole}" + (f".{rest:04d}".rstrip("0") if rest else "")
    return f"{text.replace('.', ',') if language().startswith('it') else text} %"


@register.filter
def instant(value: datetime | int | None) -> SafeString | str:
    """Return an instant in UTC, to the second on hover; integers are microseconds since 1970."""
    if value is None:
        return "-"
    at = clock.from_timestamp(value) if isinstance(value, int) else value
    text = format_datetime(at, "d MMM, HH:mm", locale=language())
    return format_html(
        '<time datetime="{}" title="{} UTC">{} UTC</time>', at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S"), text
    )


@register.filter
def short_instant(value: int | None) -> SafeString | str:
    """Return an instant of a hot table without its zone, which the hover tells."""
    if value is None:
        return "-"
    at = clock.from_timestamp(value)
    text = format_datetime(at, "d MMM, HH:mm", locale=language())
    return format_html('<time datetime="{}" title="{} UTC">{}</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}", text)


@register.simple_tag
def limit_name(limit: LimitLine | LastRefusal) -> str:
    """Return a limit's name, as `Chat, each member`, `Group Research, all together` or `Own limit (a day)`."""
    if isinstance(limit, LimitLine):
        return _limit_name(limit.row, limit.scope_name)
    return _limit_name(limit, scopes.name_of(limit.organization_id, limit.scope))


def _limit_name(row: SpendLimit | LastRefusal, scope_name: str) -> str:
    name = _scope_and_basis(row, scope_name)
    if row.window == Window.DAY:
        return _("%(limit)s (a day)") % {"limit": name}
    return _("%(limit)s (a week)") % {"limit": name} if row.window == Window.WEEK else name


@register.simple_tag
def own_scope(scope: str) -> str:
    """Return whose own price a row sets: all models, a provider's, or one model's name."""
    kind, _separator, name = scope.partition(":")
    if kind == "provider":
        return _("all of %(provider)s") % {"provider": name}
    return name or _("all models")


def _scope_and_basis(row: SpendLimit | LastRefusal, scope_name: str) -> str:
    kind, pool = row.scope.partition(":")[0], row.basis == "pool"
    if kind == "member":
        return _("Own limit")
    if kind == "organization":
        return _("Organization, all together") if pool else _("Organization, each member")
    if kind == "group":
        told = {"group": scope_name}
        return _("Group %(group)s, all together") % told if pool else _("Group %(group)s, each member") % told
    told = {"seat_type": scope_name}
    return _("%(seat_type)s, all together") % told if pool else _("%(seat_type)s, each member") % told


@register.filter
def resets(at: datetime) -> str:
    """Return `1 Dec, 00:00 UTC (in 8 days)`."""
    days = max(0, (at - clock.now()).days)
    text = format_datetime(at, "d MMM, HH:mm", locale=language())
    when = ngettext("in %(days)s day", "in %(days)s days", days) % {"days": days} if days else _("today")
    return f"{text} UTC ({when})"


@register.filter
def month_name(month: Month | str) -> str:
    """Return `November 2026`."""
    found = Month.parse(month) if isinstance(month, str) else month
    return format_skeleton("yMMMM", found.start, locale=language())


@register.inclusion_tag("console/pieces/bar.html")
def bar(spent_nano: int, held_nano: int, limit_nano: int | None, text: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - a template's word
    """Draw a budget bar: spent solid, held beside it, left empty; the same in words."""
    if not isinstance(limit_nano, int):  # a template's word for an absent limit
        limit_nano = None
    whole = max(limit_nano or 0, spent_nano + held_nano, 1)
    percent = spent_nano * 100 // limit_nano if limit_nano else (100 if limit_nano == 0 else None)
    level = next((name for least, name in LEVELS if percent is not None and percent >= least), "")
    spent_width = spent_nano * BAR_WIDTH // whole if limit_nano is not None else 0
    return {
        "spent": spent_nano,
        "held": held_nano,
        "limit": limit_nano,
        "left": max(0, limit_nano - spent_nano - held_nano) if limit_nano is not None else None,
        "percent": percent,
        "level": level,
        "spent_width": spent_width,
        "held_width": held_nano * BAR_WIDTH // whole if limit_nano is not None else 0,
        "width": BAR_WIDTH,
        "text": text,
    }


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: object) -> str:
    """Return the page's query string with *changes*; None removes a name."""
    found = context["request"].GET.copy()
    for name, value in changes.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = str(value)
    return f"?{found.urlencode()}" if found else "?"


@register.simple_tag(takes_context=True)
def form_head(context: dict[str, Any]) -> SafeString:
    """Return what every form that changes something begins with: its token, and whose page it stands on."""
    fields = {
        "csrfmiddlewaretoken": context["csrf_token"],
        "page_of": context["request"].principal.organization_id,
    }
    return format_html_join("", '<input type="hidden" name="{}" value="{}">', fields.items())


@register.inclusion_tag("console/pieces/sort.html", takes_context=True)
def sort(context: dict[str, Any], name: str, label: str, number: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - a template's word
    """Draw a column's head that sorts by it."""
    now, descending = context["sort"], context["descending"]
    return {
        "label": label,
        "number": number,
        "direction": ("descending" if descending else "ascending") if now == name else "none",
        "href": query(context, sort=name, order="asc" if now == name and descending else "desc", page=None),
    }


@register.filter
def cents(amount: int) -> str:
    """Return an amount given in cents."""
    return money_text(amount * NANO_PER_CENT, language())


@register.filter
def exact(nano: int) -> str:
    """Return the exact dollars as a plain decimal."""
    return dollars(nano)


def language() -> str:
    """Return the active language."""
    return get_language() or "en"
