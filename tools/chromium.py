"""Sees to it that the browser tests have a browser: installs Debian's chromium when it may, else says how."""

import os
import shutil
import subprocess
import sys


def main() -> None:
    """Do nothing when a chromium is there."""
    if shutil.which("chromium"):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        packages = ["chromium", "fonts-dejavu"]
        done = subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=False)
        if done.returncode == 0 and shutil.which("chromium"):
            return
    sys.exit("The browser tests need chromium on the PATH; on Debian: sudo apt-get install chromium")


if __name__ == "__main__":
    main()
