"""Fits src/tokenpool/demo/traffic.yaml from a folder of recorded traces: python tools/fit_traffic.py FOLDER."""

import sys
from pathlib import Path

from tokenpool.demo import traces
from tokenpool.demo.traffic import MODEL

STEPS = 20

HEAD = """\
# Fitted from recorded public traffic by tools/fit_traffic.py: percentiles 0, 5, ... 100 of each length.
# chat and api: Azure LLM inference traces (CC BY 4.0); claude_code: Mooncake conversation trace (Apache-2.0),
# cache_read_percent = share of a prompt's whole 512-token blocks that had been seen before.
# hours and weekend_percent are our own assumption of an office: the recordings last one hour.
hours: [1, 1, 1, 1, 1, 2, 6, 20, 55, 80, 90, 85, 60, 70, 90, 95, 85, 60, 30, 14, 8, 5, 3, 2]
weekend_percent: 8
products:
"""


def quantiles(values: list[int]) -> list[int]:
    """Return the percentiles 0, 5, ... 100."""
    ordered = sorted(values)
    return [ordered[(len(ordered) - 1) * step // STEPS] for step in range(STEPS + 1)]


def main(folder: Path) -> None:
    """Write the model."""
    out = [HEAD]
    for product in traces.FILES:
        rows = list(traces.read(folder, product))
        out.append(f"  {product}:\n")
        out.append(f"    prompt_tokens: {quantiles([r.input + r.cache_read + r.cache_write for r in rows])}\n")
        out.append(f"    output_tokens: {quantiles([r.output for r in rows])}\n")
        if any(r.cache_write for r in rows):
            shares = [
                100 * r.cache_read // (r.cache_read + r.cache_write) for r in rows if r.cache_read + r.cache_write
            ]
            out.append(f"    cache_read_percent: {quantiles(shares)}\n")
    MODEL.write_text("".join(out))
    print(MODEL.read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
