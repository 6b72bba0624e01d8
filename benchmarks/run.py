"""Every benchmark, as Markdown: python benchmarks/run.py [--only NAME] [FOLDER …]; the kernels use the first."""

from __future__ import annotations

import argparse

import joint
import kernels
import local
import resources
import scenario
import stream
from common import machine


def numbers(text: str) -> tuple[float, ...]:
    """``1,0.5`` as numbers: one word, so that it cannot swallow the folders after it."""
    return tuple(float(part) for part in text.split(","))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", help="data sets; generated data without any")
    parser.add_argument("--only", choices=("kernels", "resources", "scenario", "joint", "stream", "local"))
    parser.add_argument("--reference-tolerance", type=float, default=1e-7, help="stationarity of the reference retrain")
    parser.add_argument("--tolerances", type=numbers, default=(1e-3, 1e-4), help="residuals to go to: 1e-3,1e-4")
    parser.add_argument("--missing-weight", type=float, help="w0 of `joint` and `stream`; the data's own without it")
    parser.add_argument("--regularization", type=float, help="lambda of the same")
    parser.add_argument("--shares", type=numbers, default=(1.0, 1 / 3), help="of lambda, for `joint`: 1,0.3333")
    parser.add_argument("--plots", help="folder for the plots of `joint`")
    parser.add_argument("--requests", type=int, default=1000, help="requests of a stream")
    parser.add_argument("--generated", type=float, default=2e6, help="interactions of `local` without a folder")
    parser.add_argument("--rest", action="store_true", help="of `local`: a model trained to rest as well (an hour)")
    parser.add_argument("--no-effect", action="store_true", help="of `local`: CPU times alone, no optima (minutes)")
    parser.add_argument("--keep", help="folder of `local` for models and optima: a later run goes on from them")
    arguments = parser.parse_args()
    folders = arguments.folders or [None]
    print(f"{machine()}\n")
    if arguments.only in (None, "kernels"):
        kernels.run(folders[0])
    if arguments.only in (None, "resources"):
        resources.run(folders[0])
    if arguments.only in (None, "scenario"):
        for folder in folders:
            scenario.run(
                folder,
                reference_tolerance=arguments.reference_tolerance,
                tolerances=arguments.tolerances,
            )
    if arguments.only in (None, "joint"):
        for folder in folders:
            joint.run(
                folder, missing_weight=arguments.missing_weight, regularization=arguments.regularization,
                out=arguments.plots, shares=arguments.shares,
            )  # fmt: skip
    if arguments.only in (None, "stream"):
        for folder in folders:
            stream.run(
                folder, missing_weight=arguments.missing_weight, regularization=arguments.regularization,
                requests=arguments.requests,
            )  # fmt: skip
    if arguments.only == "local":  # minutes per data set: not among those that run without being asked for
        for folder in folders:
            local.run(
                folder, generated=arguments.generated, rest=arguments.rest, effect=not arguments.no_effect,
                keep=arguments.keep,
            )  # fmt: skip


if __name__ == "__main__":
    main()
