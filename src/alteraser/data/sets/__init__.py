"""Data the product brings: a household service, sessions and baskets that are generated, public
sets by name, and the paper's noise scenario.
"""

from alteraser.data.sets.household import HouseholdData, Story, generate_household
from alteraser.data.sets.scenario import DeletionScenario, NoiseScenario, delete_true, inject_noise
from alteraser.data.sets.visits import generate_baskets, generate_sessions

__all__ = [
    "DeletionScenario",
    "HouseholdData",
    "NoiseScenario",
    "Story",
    "delete_true",
    "generate_baskets",
    "generate_household",
    "generate_sessions",
    "inject_noise",
]
