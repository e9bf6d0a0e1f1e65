"""Training: the loop, what it measures, what it keeps, and models on disk."""

from .callbacks import AverageWeights, Callback, Checkpoint, EarlyStopping, Training
from .doctor import Doctor, Finding, diagnose, lr_find
from .history import History
from .loop import evaluate, fit, predict
from .metrics import accuracy, confusion_matrix
from .progress import Progress
from .recording import save_run
from .saving import load_model, save_model
from .steps import TrainingStep
from .tensorboard import TensorBoard

__all__ = [
    "AverageWeights",
    "Callback",
    "Checkpoint",
    "Doctor",
    "EarlyStopping",
    "Finding",
    "History",
    "Progress",
    "TensorBoard",
    "Training",
    "TrainingStep",
    "accuracy",
    "confusion_matrix",
    "diagnose",
    "evaluate",
    "fit",
    "load_model",
    "lr_find",
    "predict",
    "save_model",
    "save_run",
]


def __dir__() -> list[str]:
    return __all__
