"""What a call promises on every transport, as functions. Each takes `make`: one more process on the same new bus."""

from bus.testing.call_contract.behalf import BEHALF
from bus.testing.call_contract.continues import CONTINUES
from bus.testing.call_contract.ends import ENDS
from bus.testing.call_contract.refusals import REFUSALS
from bus.testing.call_contract.repeats import REPEATS
from bus.testing.call_contract.resume import RESUME
from bus.testing.call_contract.serving import SERVING
from bus.testing.call_contract.shapes import SHAPES
from bus.testing.call_contract.three_deep import THREE_DEEP
from bus.testing.call_contract.waits import WAITS
from bus.testing.transport_contract import Clause

CALL_CONTRACT: list[Clause] = [
    *SHAPES,
    *ENDS,
    *BEHALF,
    *SERVING,
    *REPEATS,
    *CONTINUES,
    *WAITS,
    *THREE_DEEP,
    *REFUSALS,
    *RESUME,
]
