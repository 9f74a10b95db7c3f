"""How well methods are chosen: the chosen one's time over the best one's, as shipped."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/regret.py is a program, too

COUNT = 60


class Regret:
    """Problems of one kind; benchmarks/regret.py tells which are chosen badly."""

    timeout = 300
    param_names = ["kind"]
    params = [["line", "lines", "image", "filter", "volume", "smooth", "layer"]]

    def setup_cache(self):
        """Time every kind once, for all the figures; a commit without problems to draw has none."""
        if importlib.util.find_spec("fastconv._probes") is None:
            return {}
        import regret

        threads = importlib.import_module("fastconv").get_num_threads()

        def quiet(*_, **__):
            """Show no progress."""

        return {
            kind: [r.regret for r in regret.run(COUNT, 0, threads, [kind], quiet)]
            for kind in self.params[0]
        }

    setup_cache.timeout = 600

    def setup(self, regrets, kind):
        if kind not in regrets:
            raise NotImplementedError("this commit of fastconv draws no problems")

    def track_regret_mean(self, regrets, kind):
        return float(np.exp(np.mean(np.log(regrets[kind]))))

    def track_regret_p95(self, regrets, kind):
        return float(np.quantile(regrets[kind], 0.95))

    def track_regret_worst(self, regrets, kind):
        return max(regrets[kind])

    track_regret_mean.unit = track_regret_p95.unit = track_regret_worst.unit = "chosen / best"
    track_regret_mean.pretty_name = "regret of choices: geometric mean"
    track_regret_p95.pretty_name = "regret of choices: 95th percentile"
    track_regret_worst.pretty_name = "regret of choices: worst"
