"""The parts of a hub that are installed when wanted, and whether PyTorch's build and the card fit each other."""

import re
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from cli.card import Cards, newer
from cli.finding import Finding, State
from host.parts import Part

_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*['\"](\d+\.\d+)['\"]", re.MULTILINE)

ENGINE = "llama"
"""It has a check of its own (`checks.engine`)."""


def every(cards: Cards | None) -> Iterator[Finding]:
    """Each part, and PyTorch where it is installed."""
    from actors.registry import PARTS

    for name, part in PARTS.items():
        if name != ENGINE:
            yield installed(name, part)
    built = torch_build()
    if built is not None:
        yield torch(built, cards)


def installed(name: str, part: Part) -> Finding:
    """A part is there, or not, which is no fault."""
    missing = part.missing()
    if missing:
        what = f"{part.about}: not installed"
        if len(missing) < len(part.libraries):
            what = f"{part.about}: {', '.join(each.distribution for each in missing)} missing"
        return Finding(f"Part {name}", State.ABSENT, what, f"troupe add {name}")
    versions = ", ".join(f"{each.distribution} {_version(each.distribution)}" for each in part.libraries)
    return Finding(f"Part {name}", State.OK, versions)


def torch_build() -> str | None:
    """The CUDA that PyTorch here was built for, "12.6"; empty: for the processor; None where there is no PyTorch.

    Read from its file: importing it takes seconds.
    """
    found = find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        text = (Path(found.origin).parent / "version.py").read_text("utf-8")
    except OSError:
        return None
    cuda = _CUDA.search(text)
    return cuda[1] if cuda else ""


def torch(cuda: str, cards: Cards | None) -> Finding:
    """PyTorch's build fits the card, or the want of one. cuda: as `torch_build` tells."""
    version, again = f"torch {_version('torch')}", "troupe add transformers --again"
    built = f"built for CUDA {cuda}" if cuda else "built for the processor"
    if cards is None:
        idle = "; there is no card, so it runs on the processor" if cuda else ""
        return Finding("PyTorch", State.OK, f"{version}, {built}{idle}")
    if not cuda:
        remedy = f"set [parts] torch_index to an index of builds for CUDA, then {again}"
        return Finding("PyTorch", State.POOR, f"{version}, {built}, so that {cards} lies idle", remedy)
    if newer(cuda, cards.cuda):
        remedy = f"bring the driver up to date, or set [parts] torch_index to an index for {cards.cuda}, then {again}"
        return Finding("PyTorch", State.POOR, f"{version}, {built}, and the driver runs CUDA {cards.cuda}", remedy)
    return Finding("PyTorch", State.OK, f"{version}, {built}, on {cards}")


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of its own"
