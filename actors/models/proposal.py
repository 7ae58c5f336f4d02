"""Settings that are proposed for a model, from what was measured of it, with the reasons. Pure.

1. What takes more than there is room for is left out, and so is what could not be measured.
2. Of several quantizations, the one with the largest weights that still gives a reader's speed; if none does, the
   fastest.
3. Slots: the fewest with which all calls together get nearly as much as with any; of those, where there are such, in
   which a person waits for the first word no longer than two seconds while all are in use.
4. Context: the longest that costs a call little of its speed.
"""

from collections.abc import Iterable, Sequence

from troupe.model.v1 import Figures, Proposal

READING = 10.0
"""Tokens in a second that one who reads takes in."""
NEARLY = 0.9
"""Of the most tokens in a second."""
WAIT_SECONDS = 2.0
KEPT = 0.8
"""Of its speed, that a longer context has to leave."""
GB = 1e9


def propose(figures: Iterable[Figures], room: int = 0) -> Proposal | None:
    """The proposal; None where nothing fits or nothing was measured.

    room: bytes that there are for the model, main memory and cards together; 0: not known.
    """
    measured = [each for each in figures if not each.error and speed(each) > 0]
    fitting = [each for each in measured if not room or taken(each) <= room]  # 1
    if not fitting:
        return None
    reasons = []
    if len(fitting) < len(measured):
        reasons.append(f"{len(measured) - len(fitting)} of {len(measured)} take more than the {_gb(room)} there are.")
    own, why = _quantization(fitting)
    reasons += why
    slots, why = _slots(own)
    reasons += why
    best, why = _context([each for each in own if each.slots == slots])
    reasons += why
    if taken(best):
        reasons.append(f"It takes {_gb(taken(best))} so.")
    if any(each.disturbed for each in own):
        reasons.append("Others answered meanwhile: it may be faster than that.")
    return Proposal(model=best.model, context_tokens=best.context_tokens, slots=best.slots, reasons=reasons[:8])


def taken(figures: Figures) -> int:
    """Bytes of memory."""
    return figures.host_bytes + figures.accelerator_bytes


def speed(figures: Figures) -> float:
    """Tokens that one call gets in a second; of a model that only embeds, those that it reads."""
    return figures.tokens_per_second or figures.prompt_tokens_per_second


def _total(figures: Figures) -> float:
    return figures.total_tokens_per_second or speed(figures)


def _quantization(figures: Sequence[Figures]) -> tuple[list[Figures], list[str]]:
    models = {each.model for each in figures}
    fastest = {name: max(speed(each) for each in figures if each.model == name) for name in models}
    least = {name: min(taken(each) for each in figures if each.model == name) for name in models}
    kind = {each.model: each.quantization or each.model for each in figures}
    fluent = [name for name in models if fastest[name] >= READING]
    chosen = max(fluent, key=lambda name: (least[name], name)) if fluent else max(models, key=lambda n: (fastest[n], n))
    own = [each for each in figures if each.model == chosen]
    if len(models) == 1:
        return own, []
    if fluent:
        why = (
            f"{kind[chosen]}: of those that give {READING:g} tokens in a second or more, it keeps most of the weights."
        )
    else:
        why = f"{kind[chosen]}: the fastest; none gives the {READING:g} tokens in a second that one reads."
    return own, [why]


def _slots(figures: Sequence[Figures]) -> tuple[int, list[str]]:
    numbers = sorted({each.slots for each in figures})
    total = {number: max(_total(each) for each in figures if each.slots == number) for number in numbers}
    prompt = [
        number for number in numbers if min(_seconds(each) for each in figures if each.slots == number) <= WAIT_SECONDS
    ]
    among = prompt or numbers
    most = max(total[number] for number in among)
    chosen = next(number for number in among if total[number] >= NEARLY * most)
    if len(numbers) == 1:
        return chosen, []
    why = f"{_calls(chosen)} at a time: together they get {total[chosen]:,.0f} tokens in a second"
    more = max(numbers)
    if chosen < more and more in among:
        why += f", and {_calls(more)} no more than {total[more]:,.0f}"
    reasons = [f"{why}."]
    if prompt and len(prompt) < len(numbers):
        within = f"The first word comes within {WAIT_SECONDS:g} s while all are in use"
        reasons.append(f"{within}; with others a person would wait longer.")
    elif not prompt:
        reasons.append(f"While all are in use, the first word takes longer than {WAIT_SECONDS:g} s with any number.")
    return chosen, reasons


def _context(figures: Sequence[Figures]) -> tuple[Figures, list[str]]:
    ordered = sorted(figures, key=lambda each: each.context_tokens)
    most = max(speed(each) for each in ordered)
    chosen = [each for each in ordered if speed(each) >= KEPT * most][-1]
    if len(ordered) == 1:
        return chosen, []
    longest = ordered[-1]
    if chosen is longest:
        shorter = ordered[0]
        more = max(0, taken(chosen) - taken(shorter))
        why = f"{chosen.context_tokens:,} tokens of context: the longest that was measured"
        return chosen, [f"{why}, for {_gb(more)} more than with {shorter.context_tokens:,}."]
    lost = 1 - speed(longest) / most
    why = f"with {longest.context_tokens:,} a call loses {lost:.0%} of its speed"
    return chosen, [f"{chosen.context_tokens:,} tokens of context: {why}."]


def _seconds(figures: Figures) -> float:
    wait = figures.first_token_busy if figures.HasField("first_token_busy") else figures.first_token
    return wait.ToNanoseconds() / 1e9


def _calls(number: int) -> str:
    return "one call" if number == 1 else f"{number} calls"


def _gb(size: int) -> str:
    return f"{size / GB:.2f} GB"
