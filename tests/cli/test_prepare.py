"""What every command begins with, begun by several at once."""

import subprocess
from pathlib import Path

import pytest

from installation import CLEAN, COMMAND
from postgres import Server


@pytest.mark.parametrize("kind", ["one folder", "three machines"])
def test_three_that_start_at_once_make_the_schema_once(tmp_path: Path, postgres_server: Server, kind: str) -> None:
    """On a fresh SQLite folder, and on an empty PostgreSQL from three data folders; each folder has one secret."""
    folders, settings = [tmp_path] * 3, {}
    if kind == "three machines":
        postgres_server.run("create database begun_at_once")
        folders, settings = (
            [tmp_path / str(number) for number in range(3)],
            {"TOKENPOOL_DATABASE_URL": postgres_server.url("begun_at_once")},
        )
    started = [
        subprocess.Popen([*COMMAND, "verify", "--data", str(folder)], env={**CLEAN, **settings},
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for folder in folders
    ]  # fmt: skip

    said = [one.communicate()[0] for one in started]

    assert ([2, 2, 2], 1) == ([one.returncode for one in started], len(set(said)))
    assert said[0].startswith("tokenpool: --data: there is no organization yet; ")
    assert all(len((folder / "secret_key").read_text()) > 40 for folder in folders)
