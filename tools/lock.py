"""Writes requirements/*.txt from pyproject.toml: exact versions with hashes, no index addresses."""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
OLD_SDK = ["anthropic==0.40.0", "httpx<0.28"]  # the oldest client that is tested, in a folder of its own


def main() -> None:
    """Resolve the runtime first; the development set must agree with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    sets = {"runtime": project["project"]["dependencies"], **project["dependency-groups"], "sdk-0.40": OLD_SDK}
    for name, wanted in sets.items():
        target = ROOT / "requirements" / f"{name}.txt"
        alone = name in ("runtime", "sdk-0.40")
        constraints = [] if alone else ["--constraint", str(ROOT / "requirements" / "runtime.txt")]
        with tempfile.NamedTemporaryFile("w", suffix=".in") as source:
            source.write("\n".join(wanted))
            source.flush()
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "uv",
                    "pip",
                    "compile",
                    "--quiet",
                    "--universal",
                    "--python-version",
                    "3.11",
                    "--generate-hashes",
                    "--no-emit-index-url",
                    "--no-annotate",
                    "--custom-compile-command",
                    "make lock",
                    *constraints,
                    "--output-file",
                    str(target),
                    source.name,
                ],
                check=True,
                cwd=ROOT,
            )


if __name__ == "__main__":
    main()
