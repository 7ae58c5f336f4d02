"""What a family says that a model takes, as the stage is asked for it."""

from troupe.family.v1 import Needs
from troupe.gpu.v1 import DeviceKind, Size, Variant, Work

PROCESS_BYTES = 150_000_000
"""What a process takes before it has a model: the interpreter and the libraries, counted without what is shared."""


def work_of(family: str, name: str, needs: Needs) -> Work:
    """The work of a model, by whichever process it will run in.

    Everybody who wants the model names the same work, so that the stage joins them. What can use an accelerator is
    placed on one, and takes of the main memory what its process does.
    """
    size = needs.weights_bytes + needs.cache_bytes + needs.working_bytes
    main = Size(kind=DeviceKind.DEVICE_KIND_SYSTEM, bytes=PROCESS_BYTES + (0 if needs.accelerator else size))
    sizes = [Size(kind=DeviceKind.DEVICE_KIND_NVIDIA, bytes=size), main] if needs.accelerator else [main]
    key = f"{family}/{name}/{needs.weights_bytes}/{needs.cache_bytes}/{'accelerated' if needs.accelerator else 'main'}"
    return Work(name=f"{family}/{name}", variants=[Variant(sizes=sizes)], key=key[-512:])
