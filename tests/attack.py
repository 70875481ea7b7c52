"""A long attack on the gate: its property tests with thousands of examples, under a seed that is printed.

    python3 .ci/venv python -m tests.attack [--examples 5000] [--minutes 10] [--seed N]

Rounds of new seeds until the time is over. One that fails is shown with its example, and can be run again by its seed.
"""

import argparse
import os
import random
import subprocess
import sys
import time

__all__ = ["TESTS", "WHOLE", "examples"]

TESTS = ("gate/test_publish", "gate/test_filters", "gate/test_shapes", "gate/test_rules")


# A plain run of the tests is kept short; CI, and whoever sets ABACULUS_ALL=1, has all examples.
WHOLE = bool(os.environ.get("CI") or os.environ.get("ABACULUS_ALL"))


def examples(usual: int) -> int:
    """How many examples a property gets: as many as are usual or, in a plain run, a quarter; or as an attack asks."""
    return int(os.environ.get("ABACULUS_EXAMPLES", usual if WHOLE else usual // 4))


def main() -> None:
    parser = argparse.ArgumentParser(description="Attack the gate for a while.")
    parser.add_argument("--examples", type=int, default=5_000, help="of each property, a round")
    parser.add_argument("--minutes", type=float, default=10, help="begin no new round after so long")
    parser.add_argument("--seed", type=int, help="one round under this seed")
    options = parser.parse_args()
    began, seed = time.monotonic(), options.seed
    while True:
        seed = random.randrange(10**9) if options.seed is None else options.seed
        print(f"seed {seed}, {options.examples:,} examples of each property", flush=True)
        tests = [f"tests/{name}.py" for name in TESTS]
        given = ["-q", "-n", "0", "--tb=short", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}"]
        command = [sys.executable, "-m", "pytest", *given, *tests]
        done = subprocess.run(command, env={**os.environ, "ABACULUS_EXAMPLES": str(options.examples)}, check=False)
        if done.returncode or options.seed is not None or time.monotonic() - began > options.minutes * 60:
            raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
