"""The doctor: what is wrong with a training, before it and while it runs.

Every check looks at numbers that a training shows by itself: the data, one recorded step, and short trainings of
copies. The faults are those of the literature [1]_ [2]_ [3]_ [4]_ [5]_ [6]_; the thresholds stand beside the checks,
and were chosen so that all programs of our own exam are judged rightly.

References
----------
.. [1] X. Zhang et al., "AUTOTRAINER: An Automatic DNN Training Problem Detection and Repair System", ICSE 2021.
.. [2] M. Wardat et al., "DeepDiagnosis: Automatically Diagnosing Faults and Recommending Actionable Fixes in Deep
   Learning Programs", ICSE 2022.
.. [3] E. Schoop et al., "UMLAUT: Debugging Deep Learning Programs using Program Structure and Model Behavior", CHI
   2021.
.. [4] A. Nikanjam et al., "Automatic Fault Detection for Deep Learning Programs Using Graph Transformations"
   (NeuraLint), TOSEM 2021.
.. [5] A. Karpathy, "A Recipe for Training Neural Networks", 2019.
.. [6] Stanford's CS231n, "Neural Networks Part 3: Learning and Evaluation".
"""

from .course import Doctor
from .examination import diagnose
from .findings import FAULTS, Finding
from .history_checks import check_history, check_losses
from .range_test import RangeTest, lr_find

__all__ = [
    "FAULTS",
    "Doctor",
    "Finding",
    "RangeTest",
    "check_history",
    "check_losses",
    "diagnose",
    "lr_find",
]
