"""The company: one line per actor, its name and where its class is."""

ACTORS = {
    "blobs": "actors.blobs:BlobActor",
    "echo": "actors.echo:EchoActor",
    "gpu": "actors.gpu.actor:GpuActor",
    "jobs": "actors.jobs:JobsActor",
    "llama": "actors.llama.actor:LlamaActor",
    "models": "actors.models.actor:ModelsActor",
    "weights": "actors.weights.actor:WeightsActor",
}
