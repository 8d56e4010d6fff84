"""A table as a CSV file: cells that a spreadsheet would compute are defused."""

import csv
from collections.abc import Iterable, Sequence

from django.http import HttpResponse

from tokenpool.invoicing.render import harmless


def csv_file(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> HttpResponse:
    """Return *rows* as a download called *name*."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    writer = csv.writer(response, lineterminator="\r\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return response
