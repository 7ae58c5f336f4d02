"""The llama family: language models in GGUF files, each in a process of its own."""
