"""The main job from end to end: train, forget, retrain, compare, report."""

from alteraser.demo.run import Demo, DemoScene, household_scene, noise_scene, run_demo

__all__ = ["Demo", "DemoScene", "household_scene", "noise_scene", "run_demo"]
