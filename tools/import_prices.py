"""Brings the shipped price files of other providers up to date with genai-prices, checked against LiteLLM's list.

    python tools/import_prices.py --litellm model_prices_and_context_window.json

Rows are only added. What cannot be said exactly, is not complete, or is disputed between the two lists
is not taken over but written to docs/prices-not-imported.md with its reason. Anthropic's file is our
own. Run twice it changes nothing. The development environment has genai-prices; LiteLLM's list lies in
its wheel (`pip download --no-deps litellm`, litellm/model_prices_and_context_window_backup.json).
"""

import argparse
from collections.abc import Iterable
from datetime import date
from importlib import metadata
from pathlib import Path

from tokenpool.pricing import adding, genai, litellm, load
from tokenpool.pricing.book import Bands, ModelPrice, PriceBook
from tokenpool.pricing.compare import Compared, compare
from tokenpool.pricing.join import join
from tokenpool.pricing.listed import Listed, ListedRow, amount_text, model_line, quoted, row_line
from tokenpool.pricing.sheet import Section

ROOT = Path(__file__).parent.parent
PRICES = ROOT / "src" / "tokenpool" / "pricing" / "prices"
NOT_IMPORTED = ROOT / "docs" / "prices-not-imported.md"
LIST_DAYS = {"0.2.3": date(2026, 11, 10)}  # of genai-prices: what a version says, it says of the day it was published
OPENING = """# Prices of {name}: US dollars per million tokens, as quoted text.
# Imported by tools/import_prices.py; rows are only added. docs/prices.md tells the form.
# A price whose first day the list does not know begins with the list's day.
# grade: B the list and LiteLLM's agree, C the list alone.
"""
PROVIDERS = {  # in the order in which they may claim a name; what to call them, and the page the list reads
    "openai": ("OpenAI", "https://developers.openai.com/api/docs/pricing"),
    "google": ("Google", "https://ai.google.dev/gemini-api/docs/pricing"),
    "mistral": ("Mistral", "https://mistral.ai/pricing/api"),
    "xai": ("xAI", "https://docs.x.ai/docs/models"),
    "deepseek": ("DeepSeek", "https://api-docs.deepseek.com/quick_start/pricing"),
    "groq": ("Groq", "https://console.groq.com/docs/models"),
    "bedrock": ("Amazon Bedrock", "https://aws.amazon.com/bedrock/pricing/"),
    "vertex": ("Google Vertex AI, worldwide endpoint", "https://cloud.google.com/vertex-ai/generative-ai/pricing"),
}
# Where the two lists differ, looked at one by one: why genai-prices is right. All others are left out.
REVIEWED = {
    "gpt-5.5-pro": "OpenAI publishes no long-context price of its batches",
    "gpt-5.6-cyber": "OpenAI publishes no long-context price of it",
    "mistral-large-4": "LiteLLM has the price of 2026-10-20, before the cut of 2026-10-29",
    "openai/gpt-oss-safeguard-20b": "LiteLLM rounds 0.0375 to 0.037",
    **dict.fromkeys(
        ("grok-4.20", "grok-4.20-multi-agent-0309", "grok-4.3", "grok-4.5", "grok-4.6", "grok-4.7", "grok-build-0.1"),
        "xAI's long context begins with the 200,000th token; LiteLLM has it begin after it",
    ),
}
REGIONAL = "in a region it costs a tenth more than worldwide; LiteLLM has that for the regions' profiles alone"


def main() -> None:
    """Write the files and the list of what was left out; print what changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", type=Path, required=True)
    second = litellm.read(parser.parse_args().litellm)
    version = metadata.version("genai-prices")
    day = LIST_DAYS[version]
    found = [one for one in genai.installed() if one.provider in PROVIDERS]
    names = _one_meaning(found)
    left_out = []
    for provider in PROVIDERS:
        mine = [one for one in found if one.provider == provider]
        taken = [(one, *_checked(one, second, day)) for one in mine]
        left_out += [(one, reason) for one, _, reason in taken if reason]
        _write(provider, [(one, grade) for one, grade, reason in taken if not reason], names, version, day)
    NOT_IMPORTED.write_text(_document(left_out, version))
    join(load.shipped_sheets())
    print(f"{len(found) - len(left_out)} models, {len(left_out)} left out: {NOT_IMPORTED.relative_to(ROOT)}")


def _one_meaning(found: Iterable[Listed]) -> dict[str, str]:
    """Return who an alias belongs to: the first provider that has the name, Anthropic before all others."""
    meaning = {name: sheet.provider for sheet in load.shipped_sheets() for name in sheet.models}
    meaning = {name: who for name, who in meaning.items() if who == "anthropic"}
    for one in found:
        if not one.obstacle:
            meaning.setdefault(one.name, one.name)
    for one in found:
        if not one.obstacle:
            for alias in one.aliases:
                meaning.setdefault(alias, one.name)
    return meaning


def _checked(one: Listed, second: Iterable[Listed], day: date) -> tuple[str, str]:
    """Return the grade, and the reason to leave the model out (empty: take it)."""
    if one.obstacle:
        return "", one.obstacle
    same = {other.name: other for other in second if other.provider == one.provider and not other.obstacle}
    other = next((same[name] for name in (one.name, *one.aliases) if name in same), None)
    if other is None:
        return "C", ""
    disputed = _disputed(one, other, day)
    if not disputed:
        return "B", ""
    profiles = [same[alias] for alias in one.aliases if alias in same and alias.startswith("us.")]
    if one.name in REVIEWED or any(not _disputed(one, profile, day) for profile in profiles):
        return "C", ""
    return "", f"the lists disagree: {'; '.join(disputed[:3])}"


def _disputed(one: Listed, other: Listed, day: date) -> list[str]:
    ours, theirs = one.on(day), other.on(day)
    found = []
    for section in ours.keys() & theirs.keys():
        for above in sorted({*ours[section], *theirs[section]}):
            mine = ours[section][max(start for start in ours[section] if start <= above)]
            its = theirs[section][max(start for start in theirs[section] if start <= above)]
            for column in sorted(mine.keys() & its.keys()):
                if mine[column] != its[column]:
                    words = [column, f"above {above:,}" if above else "", "" if section is Section.ROWS else section]
                    place = " ".join(word for word in words if word)
                    found.append(f"{place} {amount_text(mine[column])}, LiteLLM {amount_text(its[column])}")
    return found


def _write(provider: str, taken: list[tuple[Listed, str]], names: dict[str, str], version: str, day: date) -> None:
    """Add what the file of *provider* lacks on the list's day."""
    path = PRICES / f"{provider}.yaml"
    sheets = [sheet for sheet in load.shipped_sheets() if sheet.provider == provider]
    text = path.read_text() if sheets else adding.empty(provider, OPENING.format(name=PROVIDERS[provider][0]))
    source = f"genai-{version}"
    lines: dict[str, list[str]] = {part: [] for part in adding.PARTS}
    standing = join(sheets) if sheets else None
    for one, grade in sorted(taken, key=lambda pair: pair[0].name):
        if standing is None or standing.model_of(one.name) is None:
            aliases = [alias for alias in one.aliases if names.get(alias) == one.name]
            lines["models"].append(model_line(one.name, one.context, aliases))
            _add(lines, one, list(_from_list(one, day)), grade=grade, source=source, day=day)
        else:
            _add(lines, one, list(_changed(one, standing, day)), grade=grade, source=source, day=day)
    if any(lines[section] for section in Section):
        if f"  {source}: " not in text:
            lines["sources"].append(f'  {source}: "genai-prices {version}, from {PROVIDERS[provider][1]}"')
        text, _ = adding.added(path.name, text, lines)
        path.write_text(text)
        print(f"{path.name}: {sum(len(lines[section]) for section in Section)} rows added")


def _add(
    lines: dict[str, list[str]], one: Listed, rows: list[ListedRow], *, grade: str, source: str, day: date
) -> None:
    for row in rows:
        start = row.start or day
        lines[row.section].append(
            row_line(one.name, start, row.above, row.cells or None, grade=grade, source=source, note=one.note)
        )
    first = min((row.start or day for row in rows if row.section is Section.ROWS), default=None)
    if one.web_search_nano and first is not None:
        tool = (
            f'tool: web_search, model: {quoted(one.name)}, from: {first}, price: "{amount_text(one.web_search_nano)}"'
        )
        lines[Section.TOOLS].append(f"- {{{tool}, grade: {grade}, source: {source}}}")


def _from_list(one: Listed, day: date) -> Iterable[ListedRow]:
    """Yield the rows of a model that is new here: every period whose first day is known, and what stands on *day*."""
    for section in (Section.ROWS, Section.BATCH, Section.FAST):
        rows = [row for row in one.rows if row.section is section]
        starts = sorted({row.start for row in rows if row.start is not None})
        undated_stands = not any(start <= day for start in starts)
        yield from (row for row in rows if row.start is not None or undated_stands)


def _changed(one: Listed, standing: PriceBook, day: date) -> Iterable[ListedRow]:
    """Yield rows for what differs from the file on *day*."""
    sections = {difference.section for both in _both(one, standing, day) for difference in both.differences}
    for section, bands in one.on(day).items():
        if section in sections:
            ours = {band.above for band in _bands(standing.price(one.name, day), section)}
            yield from (ListedRow(section, above, day, cells) for above, cells in bands.items())
            yield from (ListedRow(section, above, day, {}) for above in sorted(ours - set(bands)))


def _both(one: Listed, standing: PriceBook, day: date) -> tuple[Compared, ...]:
    return compare(standing, [one], day).both


def _bands(price: ModelPrice, section: Section) -> Bands:
    return {Section.ROWS: price.bands, Section.BATCH: price.batch, Section.FAST: price.fast}[section]


def _document(left_out: list[tuple[Listed, str]], version: str) -> str:
    lines = [
        "# Prices that were not imported",
        "",
        f"What genai-prices {version} lists of these providers and `tools/import_prices.py` left out, with the reason.",
        "An operator who sells one of them writes its row ([prices](prices.md#prices-of-your-own)).",
    ]
    for provider, (name, _) in PROVIDERS.items():
        mine = [(one.name, reason) for one, reason in left_out if one.provider == provider]
        by_reason: dict[str, list[str]] = {}
        for model, reason in mine:
            by_reason.setdefault(reason, []).append(model)
        lines += ["", f"## {name}", ""] if mine else []
        lines += [f"- {reason}: {', '.join(f'`{model}`' for model in models)}" for reason, models in by_reason.items()]
    lines += [
        "",
        "## Looked at one by one",
        "",
        "Where the two lists differ and genai-prices was taken, with grade C:",
        "",
    ]
    reasons: dict[str, list[str]] = {}
    for model, reason in REVIEWED.items():
        reasons.setdefault(reason, []).append(model)
    lines += [f"- {', '.join(f'`{model}`' for model in models)}: {reason}" for reason, models in reasons.items()]
    lines += [f"- models of Bedrock by their plain name: {REGIONAL}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
