"""Data the product brings: a generated household service, public sets by name, and the paper's noise scenario."""

from alteraser.data.sets.household import HouseholdData, Story, generate_household
from alteraser.data.sets.scenario import DeletionScenario, NoiseScenario, delete_true, inject_noise

__all__ = [
    "DeletionScenario",
    "HouseholdData",
    "NoiseScenario",
    "Story",
    "delete_true",
    "generate_household",
    "inject_noise",
]
