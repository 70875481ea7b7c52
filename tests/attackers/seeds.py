"""Attackers on the publish gate, who know its rule and have all that is published.

world         random people, all tables, retention, a funnel, filters, captions, and what follows from each number
linear        linear programming over all of it: which groups of one to nine people are determined
differences   two queries, missing values, retention beside a count; averages over many numbers
durations     sums, means and percentiles with one person and without
builds        two builds with one person more
demo          a built site: its data/ folder, and the choices of its filters
linked        linear programming over all of that
"""

__all__ = ["BUILD", "HELD_OUT"]

# The first seed of those that may be looked at while the gate is changed, and of those that may not.
BUILD, HELD_OUT = 0, 10_000
