"""The commands, run as an operator runs them."""

import fcntl
import json
import socket
import subprocess
from pathlib import Path

import pytest

from installation import CLEAN, COMMAND, PASSWORD, free_port
from tokenpool.config.upstreams import UpstreamSettings, bind_keys


def tokenpool(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, env={**CLEAN, **settings}, check=False)


def begin(folder: Path, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    """Make the first organization."""
    secret = folder / "password"
    secret.write_text(password + "\n")
    return tokenpool(
        "init", "--organization", "Aurora", "--owner-email", "ada@aurora.example",
        "--owner-password-file", str(secret), "--data", str(folder / "data"), "--json",
    )  # fmt: skip


def test_init_makes_an_organization_once_and_tells_its_keys(tmp_path: Path) -> None:
    """access.json and its folder are their owner's alone; a second init is refused; verify is clean."""
    first, second = begin(tmp_path), begin(tmp_path)
    verified = tokenpool("verify", "--data", str(tmp_path / "data"), "--json")

    access = json.loads(first.stdout)
    path = tmp_path / "data" / "access.json"
    assert {"url", "organization_id", "owner", "admin_key", "meter_key", "compliance_key", "members"} == access.keys()
    assert (access, "0o600") == (json.loads(path.read_text()), oct(path.stat().st_mode & 0o777))
    assert "0o700" == oct(path.parent.stat().st_mode & 0o777)
    assert (2, "has an organization already (Aurora)") == (second.returncode, second.stderr.split("data ")[1][:36])
    assert (0, {True}) == (verified.returncode, {one["holds"] for one in json.loads(verified.stdout)})


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (["serve"], {}, "Set TOKENPOOL_UPSTREAM_URL"),
        (["serve"], {"TOKENPOOL_UPSTREAM_URL": "http://example.com"}, "upstream_url: “http://example.com” is not safe"),
        (["serve"], {"TOKENPOOL_UPSTREAM_URL": "https://u:p@example.com"}, "is not safe"),
        (["serve"], {"TOKENPOOL_PUBLIC_URL": "ftp://x"}, "public_url"),
        (["serve"], {"TOKENPOOL_PORT": "abc"}, "port: must be a number such as 8787"),
        (["verify"], {"TOKENPOOL_DATABASE": "x"}, "TOKENPOOL_DATABASE: there is no such setting"),
        (["verify"], {"TOKENPOOL_SECRET_KEY_FILE": "/nowhere"}, "cannot be read"),
        (["verify", "--month", "2026-13"], {}, "is not a month"),
        (["close-month", "--month", "soon"], {}, "is not a month"),
    ],
)
def test_unsafe_or_unknown_settings_stop_the_start_by_name(
    tmp_path: Path, words: list[str], settings: dict[str, str], said: str
) -> None:
    """Exit code 2, one line."""
    done = tokenpool(*words, "--data", str(tmp_path), **settings)

    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert said in done.stderr


def test_a_settings_file_is_read_and_its_typos_are_named(tmp_path: Path) -> None:
    """tokenpool.toml in the data folder."""
    (tmp_path / "tokenpool.toml").write_text('upstraem_url = "https://x"\n')

    done = tokenpool("verify", "--data", str(tmp_path))

    assert (2, True) == (done.returncode, "upstraem_url: there is no such setting" in done.stderr)


def test_a_provider_whose_address_changed_without_its_key_stops_the_start(tmp_path: Path) -> None:
    """The key was for somebody else; the message names both and the way out."""
    begin(tmp_path)
    folder = tmp_path / "data"
    secret = (folder / "secret_key").read_text()
    bind_keys((UpstreamSettings("default", "https://api.anthropic.com", "k"),), folder=folder, secret=secret)

    settings = {"TOKENPOOL_UPSTREAM_URL": "https://evil.example", "TOKENPOOL_UPSTREAM_API_KEY": "k"}
    done = tokenpool("serve", "--data", str(folder), "--port", str(free_port()), **settings)

    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "was used for https://api.anthropic.com:443 and would now go to https://evil.example:443" in done.stderr


def test_a_weak_password_begins_nothing(tmp_path: Path) -> None:
    """Named with its field."""
    done = begin(tmp_path, "short")

    assert (2, True) == (done.returncode, "owner_password" in done.stderr)
    assert not (tmp_path / "data" / "access.json").exists()


def test_a_password_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """One line, no traceback."""
    (tmp_path / "password").write_bytes(b"\xff\xfe\xfa\x00 quiet exact fast")
    names = ("--organization", "Aurora", "--owner-email", "ada@aurora.example")
    done = tokenpool("init", *names, "--owner-password-file", str(tmp_path / "password"), "--data", str(tmp_path / "d"))

    said = f"tokenpool: --owner-password-file: {tmp_path / 'password'} cannot be read (it is not text in UTF-8).\n"
    assert (2, said) == (done.returncode, done.stderr)


def test_a_folder_that_is_served_from_is_not_thrown_away(tmp_path: Path) -> None:
    """`--fresh` waits for nobody and removes nothing."""
    (tmp_path / "tokenpool.sqlite3").write_text("somebody's data")
    with (tmp_path / "running.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        done = tokenpool("demo", "--fresh", "--data", str(tmp_path))

    assert (2, True) == (done.returncode, "A Tokenpool is running on" in done.stderr)
    assert "somebody's data" == (tmp_path / "tokenpool.sqlite3").read_text()


def test_fresh_throws_only_a_demos_data_away(tmp_path: Path) -> None:
    """A real organization's books stay, and its folder is not shown as a demo."""
    begin(tmp_path)
    books = (tmp_path / "data" / "tokenpool.sqlite3").read_bytes()

    fresh = tokenpool("demo", "--fresh", "--data", str(tmp_path / "data"))
    plain = tokenpool("demo", "--data", str(tmp_path / "data"), "--port", str(free_port()))

    assert (2, True) == (fresh.returncode, "was not begun by `tokenpool demo`" in fresh.stderr)
    assert books == (tmp_path / "data" / "tokenpool.sqlite3").read_bytes()
    assert (2, True) == (plain.returncode, "is no demo's" in plain.stderr)


def test_a_demo_marks_its_folder_and_init_takes_the_mark_away(tmp_path: Path) -> None:
    """An unfinished demo may be thrown away; what `init` makes in its folder may not."""
    data = tmp_path / "data"
    unfinished = tokenpool("demo", "--data", str(data), "--traces", "/nowhere", "--port", str(free_port()))
    marked = (data / "demo").exists()
    again = tokenpool("demo", "--fresh", "--data", str(data), "--traces", "/nowhere", "--port", str(free_port()))

    assert (2, 2, True) == (unfinished.returncode, again.returncode, marked)
    assert ["/nowhere is not a folder" in done.stderr for done in (unfinished, again)] == [True, True]
    assert (0, False) == (begin(tmp_path).returncode, (data / "demo").exists())


@pytest.mark.parametrize("words", [["verify"], ["close-month", "--month", "2026-10"], ["serve"]])
def test_a_folder_without_an_organization_is_not_found_to_be_in_order(tmp_path: Path, words: list[str]) -> None:
    """A mistyped --data does not verify, and is not served from."""
    given = {"TOKENPOOL_UPSTREAM_URL": "https://example.com", "TOKENPOOL_UPSTREAM_API_KEY": "k"}
    given |= {"TOKENPOOL_PORT": str(free_port())}
    done = tokenpool(*words, "--data", str(tmp_path / "typo"), **given)

    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "there is no organization yet" in done.stderr


@pytest.mark.parametrize("words", [["verify"], ["demo"], ["demo", "--fresh"]])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, words: list[str]) -> None:
    """One line, no traceback."""
    (tmp_path / "file").touch()

    done = tokenpool(*words, "--data", str(tmp_path / "file"))

    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert f"--data: {tmp_path / 'file'} cannot be written (" in done.stderr


def test_a_port_that_is_taken_is_named_before_any_work(tmp_path: Path) -> None:
    """By serve and by demo, which seeds nothing first."""
    given = {"TOKENPOOL_UPSTREAM_URL": "https://example.com", "TOKENPOOL_UPSTREAM_API_KEY": "k"}
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        served = tokenpool("serve", "--data", str(tmp_path / "a"), "--port", port, **given)
        shown = tokenpool("demo", "--data", str(tmp_path / "b"), "--port", port)

    said = f"tokenpool: --port: 127.0.0.1, port {port} cannot be listened on (Address already in use); "
    assert [(2, True), (2, True)] == [(done.returncode, done.stderr.startswith(said)) for done in (served, shown)]
    assert not (tmp_path / "b" / "tokenpool.sqlite3").exists()


@pytest.mark.proof
def test_the_proofs_run_on_the_users_machine() -> None:
    """A few seconds of every experiment, with figures; nothing is left behind."""
    done = tokenpool("prove", "--minutes", "0.05", "--json")

    found = {line["experiment"]: line for line in json.loads(done.stdout)}
    race, edits = found["race of 4 processes x 8 callers"], found["edits of the audit"]
    killed, served = found["kill -9 of a working process"], found["kill -9 of the server under load"]
    histories = found["histories of four processes, replayed through the plain model"]
    power = found["power loss, SQLite and the journal"]
    assert (0, 19, True) == (done.returncode, len(found), all(line["holds"] for line in found.values()))
    assert (0, 0, 0, 0) == (race["overspent_nano"], killed["lost"], served["lost"], power["lost"])
    assert (0, True) == (histories["unexplained"], histories["operations"] % 1280 == 0)
    assert (36, 100, 100) == (power["states"], edits["made"], edits["found"])
