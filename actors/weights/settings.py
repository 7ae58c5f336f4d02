"""Settings of fetching: the section [actors.weights]."""

from typing import Annotated

from msgspec import Meta, Struct, field

from actors.weights.known import KNOWN

BY_ITSELF = [name for name, weights in KNOWN.items() if weights.by_itself]
"""What is fetched where nothing is said."""

NAMED = {"false": False, "0": False, "no": False, "off": False, "true": True, "1": True, "yes": True, "on": True}
"""Words for all and nothing, as the environment spells them."""


class WeightsSettings(Struct, frozen=True, kw_only=True):
    """What is fetched by itself, and how long that may take."""

    fetch: list[str] | bool | str = field(default_factory=lambda: list(BY_ITSELF))
    """Names of weights that are fetched in the background after the start, in this order; empty or false: none.

    In the environment: names with commas between them, or false.
    """

    hub_endpoint: str = ""
    """Address of the Hugging Face hub, or of one that speaks its protocol, for `hf:` sources; empty: HF_ENDPOINT, else
    huggingface.co."""

    pulls_at_once: Annotated[int, Meta(ge=1, le=8)] = 2
    """Jobs that pull models at the same time; others wait."""

    fetch_seconds: Annotated[float, Meta(gt=0)] = 1800.0
    """A download that takes longer is given up until the next start."""

    @property
    def wanted(self) -> list[str]:
        """What is to be fetched, in order."""
        chosen = NAMED.get(self.fetch.lower(), self.fetch) if isinstance(self.fetch, str) else self.fetch
        if isinstance(chosen, bool):
            return list(BY_ITSELF) if chosen else []
        return [name.strip() for name in chosen.split(",")] if isinstance(chosen, str) else chosen

    def __post_init__(self) -> None:
        unknown = [name for name in self.wanted if name not in KNOWN]
        if unknown:
            raise ValueError(f"fetch names {unknown[0]!r}, which cannot be fetched. There are: {', '.join(KNOWN)}.")
