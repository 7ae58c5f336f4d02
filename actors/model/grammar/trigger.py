"""The text after which a constraint holds."""


class Trigger:
    """Waits for the first occurrence of a text in what is said, however it is cut into tokens. Empty: it was there."""

    def __init__(self, text: str) -> None:
        self._wanted = text.encode()
        self._tail = b""
        self.found = not text

    def fresh(self) -> "Trigger":
        """One that has heard nothing."""
        return Trigger(self._wanted.decode())

    def feed(self, piece: bytes) -> bytes | None:
        """Take a token's bytes; what of them follows the text where this token completes it, else None."""
        text = self._tail + piece
        place = text.find(self._wanted)
        if place < 0:
            self._tail = text[-len(self._wanted) :]
            return None
        self.found = True
        return text[place + len(self._wanted) :]
