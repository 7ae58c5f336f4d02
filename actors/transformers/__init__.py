"""A family of models as Hugging Face has them, computed by PyTorch."""
