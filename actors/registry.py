"""The company: one line per actor, its name and where its class is."""

ACTORS = {
    "echo": "actors.echo:EchoActor",
    "llama": "actors.llama.actor:LlamaActor",
    "weights": "actors.weights.actor:WeightsActor",
}
