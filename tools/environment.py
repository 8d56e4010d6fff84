"""Makes .venv from the locked requirements, with uv where it is there and pip where it is not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv"


def main(wanted: str) -> None:
    """Install *wanted* (runtime, or dev on top of it) and the project itself."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this script runs before the environment does
        sys.exit("Tokenpool needs Python 3.11 or newer; name it with `make PYTHON=python3.11 …`.")
    uv = shutil.which("uv")
    if not (VENV / "bin" / "python").exists():
        run([uv, "venv", "-q", str(VENV)] if uv else [sys.executable, "-m", "venv", str(VENV)])
    python = str(VENV / "bin" / "python")
    installer = [uv, "pip", "install", "-q", "--python", python] if uv else [python, "-m", "pip", "install", "-q"]
    if not uv:
        installer.append("--disable-pip-version-check")
    run([*installer, "--require-hashes", "-r", f"requirements/{wanted}.txt"])
    if wanted == "runtime":
        # The project itself is a path entry and a command: nothing is built, so nothing else is needed.
        site = subprocess.run(
            [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
        )
        (Path(site.stdout.strip()) / "tokenpool-source.pth").write_text(f"{ROOT / 'src'}\n")
        command = VENV / "bin" / "tokenpool"
        command.write_text(f"#!{python}\nfrom tokenpool.cli.main import run\n\nif __name__ == '__main__':\n    run()\n")
        command.chmod(0o755)
        run([python, "tools/catalogs.py", "src"])


def run(command: list[str | None]) -> None:
    """Run one step; its own words say what is wrong when it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run([part for part in command if part], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main(sys.argv[1])
