"""The company: one line per actor, its name and where its class is; and the parts that some of them need."""

from host.parts import Library, Part

ACTORS = {
    "blobs": "actors.blobs:BlobActor",
    "echo": "actors.echo:EchoActor",
    "gpu": "actors.gpu.actor:GpuActor",
    "jobs": "actors.jobs:JobsActor",
    "llama": "actors.llama.actor:LlamaActor",
    "models": "actors.models.actor:ModelsActor",
    "transformers": "actors.transformers.actor:TransformersActor",
    "weights": "actors.weights.actor:WeightsActor",
}

TORCH = Library("torch", "torch", 200)
"""As a build for the processor; one for CUDA is ten times as large, where pip is offered that."""

PARTS = {
    "llama": Part(
        "GGUF models, by llama.cpp, which is compiled here",
        (Library("llama-cpp-python", "llama_cpp", 70), Library("numpy", "numpy", 17)),
        {"llama": ("troupe.family.v1.FamilyService[llama]",)},
    ),
    "transformers": Part(
        "models as Hugging Face has them, by PyTorch",
        (
            TORCH,
            Library("transformers", "transformers", 30),
            Library("peft", "peft", 1),
            Library("llguidance", "llguidance", 3),
        ),
        {"transformers": ("troupe.family.v1.FamilyService[transformers]",)},
    ),
    "voice": Part("speech: recognition and voices", (Library("faster-whisper", "faster_whisper", 110),)),
    "training": Part(
        "training and adapters, by PyTorch",
        (TORCH, Library("transformers", "transformers", 30), Library("peft", "peft", 1)),
    ),
    "analysers": Part(
        "what checks code",
        (Library("ruff", "ruff", 12), Library("ty", "ty", 18), Library("ast-grep-py", "ast_grep_py", 5)),
    ),
    "images": Part(
        "pictures, by PyTorch",
        (TORCH, Library("transformers", "transformers", 30), Library("diffusers", "diffusers", 6)),
    ),
}
"""What `troupe add` installs: extras of these names. Those without an actor bring libraries alone."""
