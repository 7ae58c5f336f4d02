"""The contract of a family of models as functions that implementers call."""

from actors.model.testing.family_contract import FAMILY_CONTRACT, Subject, family_contract

__all__ = ["FAMILY_CONTRACT", "Subject", "family_contract"]
