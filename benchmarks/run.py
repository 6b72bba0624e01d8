"""Every benchmark, as Markdown: python benchmarks/run.py [--only NAME] [FOLDER …]; the kernels use the first."""

from __future__ import annotations

import argparse

import kernels
import resources
import scenario
from common import machine


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", help="data sets; generated data without any")
    parser.add_argument("--only", choices=("kernels", "resources", "scenario"))
    parser.add_argument("--reference-tolerance", type=float, default=1e-7, help="stationarity of the reference retrain")
    parser.add_argument("--tolerances", type=float, nargs="+", default=[1e-3, 1e-4], help="residuals to go to")
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
                tolerances=tuple(arguments.tolerances),
            )


if __name__ == "__main__":
    main()
