"""What families of models share: services over an engine, prompts, tools, replies. No actor."""
