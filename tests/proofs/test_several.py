"""Three real servers on one PostgreSQL: mail, months, leases, doubts and journals are harmless beside each other."""

from pathlib import Path

import pytest

from tokenpool.proofs import mutants, several

pytestmark = pytest.mark.proof


def test_three_servers_do_everything_once(postgres_database: str, tmp_path: Path) -> None:
    """No mail twice, one invoice a month, no running hold ended, a lost one ended once, no exact end anticipated.

    Eighteen streams that outlast their lease and six ends that waited in a journal are exact; two
    killed servers leave twelve holds that become estimates. Of twelve batches each result is exact.
    """
    found = several.run(tmp_path, postgres_database)

    assert found.holds, found
    assert (24, 12) == (found.exact, found.estimated)
    assert found.batched > 10


def test_a_mutant_is_found_out(postgres_database: str, tmp_path: Path) -> None:
    """Another machine's journal that is not waited for costs exact settlements."""
    found = several.run(tmp_path, postgres_database, mutant=mutants.BESIDE[1])

    assert found.lost
