"""Sums and sizes of groups that are not all of one size in, a cluster-robust t interval of their ratio out."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from ragmed.comparison.statistics.bootstrap import LEVEL, Interval
from ragmed.comparison.statistics.resampling import Floats


@dataclass(frozen=True, slots=True)
class ClusterRobust:
    """
    >>> import numpy as np
    >>> ClusterRobust.of(np.array([1.0, 0.0, 2.0]), np.array([1.0, 1.0, 4.0])).freedom
    1.0

    Of sum(sums) / sum(sizes), a ratio whose two parts vary from group to group: linearised, each group with the weight
    that it has when it is left out (the jackknife, CR3: MacKinnon, Nielsen and Webb, J. Econometrics 2023;232:272-299),
    and Student's t with the effective number of groups (Kish) less 1 as degrees of freedom, at least 1. Interval and
    one-sided tests read the same t, so that they never contradict each other.

    Why not the bootstrap: the acceleration of BCa is thrown off by a few large groups. In 4,000 simulated samples each
    of differences of right and wrong answers (groups alike with chance 0.5, a true difference of -0.1) this interval
    covered 0.956 (25 groups of 1 to 5), 0.950 (60 such), 0.954 (60 of negative binomial sizes, mean 5), 0.949 (200
    such), 0.973 (25 of Pareto sizes, 1 to 60), 0.961 (60 such) and 0.952 (200 such), and lay above the truth in 0.018
    to 0.038. The expanded percentile interval covered 0.915 to 0.945 there and lay above in up to 0.061; expanded BCa
    covered 0.84 of 1,500 with 60 Pareto sizes. `within`: what the ratio can be at least and at most.
    """

    estimate: float
    error: float
    freedom: float
    within: Interval = (-math.inf, math.inf)
    method: str = "cluster-robust-t"

    @staticmethod
    def of(sums: Floats, sizes: Floats, *, within: Interval = (-math.inf, math.inf)) -> ClusterRobust:
        """`sums` and `sizes` by group. Needs at least two groups."""
        total = float(sizes.sum())
        estimate = float(sums.sum()) / total
        shares = sizes / total
        pulls = (sums - estimate * sizes) / total / (1 - shares)
        return ClusterRobust.jackknife(estimate, pulls, shares=shares, within=within)

    @staticmethod
    def jackknife(
        estimate: float, pulls: Floats, *, shares: Floats, within: Interval = (-math.inf, math.inf)
    ) -> ClusterRobust:
        """
        >>> import numpy as np
        >>> ClusterRobust.jackknife(0.5, np.array([0.1, 0.0, -0.1]), shares=np.array([0.5, 0.25, 0.25])).interval[0] > 0
        False

        Of any estimate: `pulls`, the estimate less what it is without each group; `shares` of the whole, summing to 1.
        """
        error = math.sqrt(float((pulls**2).sum()) * (len(pulls) - 1) / len(pulls))
        return ClusterRobust(estimate, error, max(1.0, 1 / float((shares**2).sum()) - 1), within)

    @property
    def interval(self) -> Interval:
        """The 95 % interval."""
        from scipy.special import stdtrit

        reach = float(stdtrit(self.freedom, 0.5 + LEVEL / 2)) * self.error
        low, high = self.within
        return max(low, self.estimate - reach), min(high, self.estimate + reach)

    def at_most(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true ratio is `bound` or less: under 0.025 where the interval lies
        above the bound."""
        return self._tail(bound - self.estimate)

    def at_least(self, bound: float) -> float:
        """One-sided p of the hypothesis that it is `bound` or more."""
        return self._tail(self.estimate - bound)

    def _tail(self, distance: float) -> float:
        from scipy.special import stdtr

        if self.error == 0:
            return 1.0 if distance >= 0 else sys.float_info.min
        return max(sys.float_info.min, float(stdtr(self.freedom, distance / self.error)))
