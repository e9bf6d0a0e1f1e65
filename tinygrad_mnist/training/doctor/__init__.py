"""The doctor: what is wrong with a training, before it and while it runs.

Every check looks at numbers that a training shows by itself: the data, one recorded step, and short trainings of
copies. The faults are those of the literature: AutoTrainer [1]_, DeepDiagnosis [2]_, UMLAUT [3]_, NeuraLint [4]_,
Karpathy's recipe [5]_ and CS231n [6]_. The notes of each check say which of them gives a threshold, and where it was
chosen so that the programs of our own exam are judged rightly. The numbers of the first three are those of their
published programs.

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
