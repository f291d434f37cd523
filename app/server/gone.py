"""What stands for a transport that has ended, so that nothing of it waits for Python's collector."""

import asyncio
from typing import Final


class Gone(asyncio.Transport):
    """A transport that has ended: nothing is buffered, and nothing happens any more."""

    def is_closing(self) -> bool:
        """Tell that it has ended."""
        return True

    def get_write_buffer_size(self) -> int:
        """Tell that nothing is buffered."""
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drop what nobody reads."""
        del data

    def can_write_eof(self) -> bool:
        """Tell that there is no end to write."""
        return False

    def pause_reading(self) -> None:
        """Do nothing: there is nothing to read."""

    def resume_reading(self) -> None:
        """Do nothing: there is nothing to read."""

    def close(self) -> None:
        """Do nothing: it is closed."""

    def abort(self) -> None:
        """Do nothing: it is closed."""


GONE: Final = Gone()
