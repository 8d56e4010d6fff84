"""A terminal for programs that draw: what is typed, and the whole screen as it is drawn at the moment."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path

ROWS, COLUMNS = 60, 140
ENTER, ESCAPE, UP = "\r", "\x1b", "\x1b[A"
_ESCAPE = re.compile(r"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()78B]|[\x00-\x20\xa0]")


class Terminal:
    """A program on a terminal of its own.

    Such programs write what has changed alone, and move the cursor over blanks instead of writing
    them. So the window is made a column wider or narrower before it is read, which makes them draw
    everything, and text is compared without blanks.
    """

    def __init__(self, words: list[str], *, environment: dict[str, str], folder: Path) -> None:
        self._terminal, inner = pty.openpty()
        self._columns, self._drawn = COLUMNS, b""
        self._resize()
        self.process = subprocess.Popen(
            words, stdin=inner, stdout=inner, stderr=inner, env=environment, cwd=folder, start_new_session=True
        )
        os.close(inner)
        asyncio.get_running_loop().add_reader(self._terminal, self._read)

    def types(self, text: str) -> None:
        """Type *text*."""
        os.write(self._terminal, text.encode())

    async def enters(self, text: str) -> None:
        """Type *text*, wait until it stands there, and enter it."""
        self.types(text)
        await self.shows(text)
        self.types(ENTER)

    async def shows(self, *words: str, seconds: float = 30) -> str:
        """Wait until the screen shows all *words*; return the screen without blanks."""
        wanted = ["".join(one.split()) for one in words]
        screen = ""
        try:
            async with asyncio.timeout(seconds):
                while not all(one in screen for one in wanted):
                    screen = await self._screen()
        except TimeoutError:
            raise AssertionError(f"{words} did not appear on:\n{screen}") from None
        return screen

    async def close(self) -> None:
        """End the program."""
        asyncio.get_running_loop().remove_reader(self._terminal)
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    async def _screen(self) -> str:
        self._drawn, self._columns = b"", COLUMNS * 2 + 1 - self._columns
        self._resize()
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGWINCH)
        await asyncio.sleep(0.5)
        return _ESCAPE.sub("", self._drawn.decode("utf-8", "replace"))

    def _resize(self) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, self._columns, 0, 0))

    def _read(self) -> None:
        try:
            self._drawn += os.read(self._terminal, 65_536)
        except OSError:  # the program has ended
            asyncio.get_running_loop().remove_reader(self._terminal)
