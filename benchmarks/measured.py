"""A plugin of asv's: its pages show what was measured, and no empty box for what never was."""

import math

from asv.publishing import OutputPublisher


class Measured(OutputPublisher):
    """Takes benchmarks without a result from what asv publishes, before any page is made."""

    name = "measured"
    order = -math.inf

    @classmethod
    def publish(cls, conf, repo, benchmarks, graphs, revisions):
        measured = {graph.benchmark_name for _, graph in graphs}
        for name in benchmarks.keys() - measured:
            del benchmarks[name]
