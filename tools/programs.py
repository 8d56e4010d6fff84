"""Sees to it that the tests have the programs they drive: installs Debian's when it may, else says how."""

import os
import shutil
import subprocess
import sys

PROGRAMS = {
    "chromium": ("chromium", "fonts-dejavu"),
    "strace": ("strace",),
    "nginx": ("nginx",),
    "openssl": ("openssl",),
}
PATH = f"{os.environ['PATH']}:/usr/sbin"  # where nginx is, and not everybody looks


def main() -> None:
    """Do nothing when they are there."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [package for name in missing for package in PROGRAMS[name]]
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=False)
        missing = [name for name in missing if not shutil.which(name, path=PATH)]
    if missing:
        names = " ".join(missing)
        sys.exit(f"The tests need {names} on the PATH; on Debian: sudo apt-get install {names}")


if __name__ == "__main__":
    main()
