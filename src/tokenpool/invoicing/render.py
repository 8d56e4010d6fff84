"""A document as CSV: its lines, then its annex; cells that a spreadsheet would compute are defused."""

import csv
import io

from tokenpool.invoicing.document import Document
from tokenpool.kernel.money import dollars

HEADER = (
    "part",
    "kind",
    "member_id",
    "member",
    "item",
    "name",
    "usage_class",
    "quantity",
    "amount",
    "amount_exact",
    "currency",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(document: Document) -> str:
    """Return the document's lines and annex as CSV text; amounts in dollars."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEADER)
    money = ("quantity", "amount", "amount_exact")
    for line in document["lines"]:
        cells = ["line", line["kind"], "", "", line["item"], line["name"], line["usage_class"]]
        writer.writerow([*map(harmless, cells), *(line[name] for name in money), document["currency"]])
    for row in document["annex"]:
        cells = ["annex", "usage", row["member_id"], row["member"], row["model"], row["model"], row["usage_class"]]
        writer.writerow([*map(harmless, cells), *(row[name] for name in money), document["currency"]])
    for row in document.get("adjustments", ()):
        cells = ["annex", "adjustment", row["member_id"], row["member"], row["model"], row["month"], ""]
        counted = (len(row["events"]), row["amount"], row["amount_exact"])
        writer.writerow([*map(harmless, cells), *counted, document["currency"]])
    amounts = (document["total"], dollars(document["total_nano"]))
    writer.writerow(["total", *[""] * 7, *amounts, document["currency"]])
    return out.getvalue()


def harmless(text: str) -> str:
    """Return *text* so that no spreadsheet reads it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
