"""The hub speaks of a request's fields; people set options."""

import re
from collections.abc import Mapping

CHAT = {"sampling.temperature": "--temperature", "max_tokens": "--max-tokens"}
"""Field of troupe.chat.v1.GenerateRequest -> option of `troupe chat`."""


def in_options(message: str, options: Mapping[str, str]) -> str:
    """A sentence of the hub with options in place of the fields that they set."""
    fields = "|".join(map(re.escape, options))
    return re.sub(rf"(?<![\w.-])`?({fields})`?(?![\w-]|\.\w)", lambda found: options[found[1]], message)
