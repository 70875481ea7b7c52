"""The attackers' table: what each finds out with the rule, and without rounding.

    python3 .ci/venv python -m tests.attackers [--seeds 40] [--site build/site [--step 1]]

Seeds from 0 on are for building: look at them while you change the gate. Those from 10,000 on are held out, and what is
printed is of them.
"""

import argparse
from pathlib import Path

from reports.gate.rules import Rules
from tests.attackers import builds, demo, differences, durations, linked
from tests.attackers.linear import hidden
from tests.attackers.seeds import BUILD, HELD_OUT


def main() -> None:
    parser = argparse.ArgumentParser(description="Attack the publish gate.")
    parser.add_argument(
        "--seeds", type=int, default=40, help="worlds to attack; some attacks take several times as many"
    )
    parser.add_argument("--site", type=Path, help="a built site to attack")
    parser.add_argument("--step", type=int, default=5, help="1 for a site with `protect: threshold`")
    options = parser.parse_args()
    if many := options.seeds:
        _worlds(many)
    if options.site:
        data = options.site / "data"
        print(f"\nThe site: {len(demo.exact(data, options.step))} numbers that the rule cannot have made.")
        found = linked.groups(data, options.step)
        known = linked.determined(found)
        print(f"Of {len(found):,} groups that are not shown, linear programming determines {len(known)}: {known}")


def _worlds(many: int) -> None:
    print("| attack | with the rule | without rounding | aim |\n|---|---:|---:|---:|", flush=True)
    rows = Rules(), Rules(rounding=False)
    for most in (2, 3):
        found = []
        for rules in rows:
            known, every = hidden(rules, most, range(HELD_OUT, HELD_OUT + many))
            found.append(f"{known / every:.1%} of {every:,}")
        print(f"| linear programming, tables of up to {most} dimensions | {' | '.join(found)} | 3 % |", flush=True)
    for attack in differences.ATTACKS:
        seeds = range(BUILD, BUILD + 6 * many), range(HELD_OUT, HELD_OUT + 4 * many)
        found = [f"{differences.right(attack, rules, *seeds):.1%}" for rules in rows]
        print(f"| best guess of a difference: {attack} | {' | '.join(found)} | 33 % |", flush=True)
    seeds = range(BUILD, BUILD + many), range(HELD_OUT, HELD_OUT + 2 * many)
    found = [f"{known:.1%} ({way})" for way, known in (durations.known(rules, *seeds) for rules in rows)]
    print(f"| one person's duration within a tenth | {' | '.join(found)} | 20 % |", flush=True)
    found = [f"{builds.told(rules, range(HELD_OUT, HELD_OUT + many)):.1%}" for rules in rows]
    print(f"| two builds: what is true of one new person | {' | '.join(found)} | |", flush=True)
    print("\n| differences about one group that are averaged | it is known exactly |\n|---:|---:|")
    for number, known in differences.curve(rows[0], (1, 4, 16, 64, 256, 1024), range(HELD_OUT, HELD_OUT + 500)).items():
        print(f"| {number:,} | {known:.0%} |", flush=True)


if __name__ == "__main__":
    main()
