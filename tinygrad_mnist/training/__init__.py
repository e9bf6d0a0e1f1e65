"""Training: the loop, what it measures, what it keeps, and models on disk."""

from .callbacks import Callback, Checkpoint, EarlyStopping, Training
from .history import History
from .loop import evaluate, fit, predict
from .metrics import accuracy, confusion_matrix
from .progress import Progress
from .saving import load_model, save_model
from .steps import TrainingStep

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "Progress",
    "Training",
    "TrainingStep",
    "accuracy",
    "confusion_matrix",
    "evaluate",
    "fit",
    "load_model",
    "predict",
    "save_model",
]
