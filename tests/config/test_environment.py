"""What the settings make of what an operator wrote."""

from pathlib import Path

from tokenpool.config import environment


def test_without_a_public_address_it_is_this_machine_at_the_port(tmp_path: Path) -> None:
    """8787, or what `--port` set."""
    data = {"TOKENPOOL_DATA": str(tmp_path)}

    assert "http://127.0.0.1:8787" == environment.read(data).public_url
    assert "http://127.0.0.1:9000" == environment.read({**data, "TOKENPOOL_PORT": "9000"}).public_url


def test_the_slash_that_people_write_after_a_public_address_is_not_part_of_it(tmp_path: Path) -> None:
    """Paths are added to it."""
    given = {"TOKENPOOL_DATA": str(tmp_path), "TOKENPOOL_PUBLIC_URL": "https://pool.example/"}

    assert "https://pool.example" == environment.read(given).public_url
