"""Networks as scikit-learn's estimators, for its pipelines, searches and scores."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

from .. import nn, training
from ..errors import OptionError, choice, misfit, quote, require
from ..graph import no_grad
from ..nn import functional as F  # noqa: N812
from ..nn.modes import evaluating
from ..training.settings import OPTIMIZERS
from ..typing import NDArray

require("sklearn", extra="digits", purpose="tg.sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin  # noqa: E402
from sklearn.utils import check_random_state  # noqa: E402
from sklearn.utils.multiclass import check_classification_targets  # noqa: E402
from sklearn.utils.validation import check_is_fitted, validate_data  # noqa: E402

__all__ = ["Classifier", "Regressor"]

Self = TypeVar("Self", bound="_Estimator")

#: A model, or a function of the number of features, the number of outputs and a Generator that makes one.
Model = nn.Module | Callable[[int, int, np.random.Generator], nn.Module]


def _is_count(x: Any) -> bool:
    """Whether it is an integer of 1 or more; True is none."""
    return isinstance(x, Integral) and not isinstance(x, bool) and int(x) >= 1


def _is_number(x: Any) -> bool:
    """Whether it is a finite number of 0 or more."""
    return isinstance(x, Real) and not isinstance(x, bool) and 0 <= float(x) < math.inf


_COUNT, _NUMBER = (_is_count, "an integer, 1 or more"), (_is_number, "a number, 0 or more")

#: What each parameter may be, as a test and in words; the others have names, which are looked up.
_NEEDED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "hidden": (
        lambda x: isinstance(x, (Sequence, np.ndarray)) and np.iterable(x) and all(map(_is_count, x)),
        "a sequence of sizes, such as (100,)",
    ),
    "model": (
        lambda x: x is None or callable(x),
        "a Module, or a function of the number of features, the number of outputs and a Generator",
    ),
    "dropout": (lambda x: _is_number(x) and x < 1, "a number in [0, 1)"),
    "loss": (lambda x: x is None or isinstance(x, str) or callable(x), "a name, or a function"),
    "lr": _NUMBER,
    "weight_decay": _NUMBER,
    "epochs": _COUNT,
    "batch_size": _COUNT,
    "patience": (lambda x: x is None or _is_count(x), "None, or an integer, 1 or more"),
    "validation_fraction": (lambda x: _is_number(x) and 0 < x < 1, "a number between 0 and 1"),
    "verbose": (lambda x: isinstance(x, (bool, np.bool_, Integral)), "True or False"),
}


def _single(x: NDArray, name: str) -> NDArray:
    """Numbers in float32, in which networks train."""
    with np.errstate(over="ignore"):
        found = x.astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError(
            f"{name} has numbers too large for float32, such as {np.abs(x).max():.3g}; scale them first"
        )
    return found


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both have in common; its parameters are those of :class:`Classifier`."""

    _default_loss: str

    def __init__(
        self,
        hidden: Sequence[int] = (100,),
        activation: str = "relu",
        *,
        model: Model | None = None,
        dropout: float = 0.0,
        loss: str | Callable[..., Any] | None = None,
        optimizer: str = "adam",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        epochs: int = 100,
        batch_size: int = 64,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        compile: bool | str = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.model = model
        self.dropout = dropout
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose

    def _check(self) -> None:
        """Refuse a parameter that is of the wrong kind, or outside its values."""
        for name, (is_right, needed) in _NEEDED.items():
            value = getattr(self, name)
            if not is_right(value):
                raise OptionError(f"{type(self).__name__}: {name}={quote(value)}: pass {needed}")
        for name, valid in (("activation", nn.activations), ("optimizer", OPTIMIZERS)):
            value = getattr(self, name)
            if not (value in valid if isinstance(value, str) else name == "activation" and callable(value)):
                raise choice(name, value, valid)
        training.steps.require_backend(self.compile)

    def _make(self, *args: Any) -> Any:
        """Call the function that makes a model."""
        try:
            return self.model(*args)  # type: ignore[misc]
        except TypeError:
            if words := misfit(self.model, args, {}):  # type: ignore[arg-type]
                raise OptionError(f"{type(self).__name__}: model: {words}") from None
            raise

    def _train(self, x: NDArray, y: NDArray, outputs: int) -> None:
        """Make a model and train it."""
        self._check()
        try:
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        except ValueError as error:
            raise OptionError(f"{type(self).__name__}: random_state: {error}") from error
        rng = np.random.default_rng(seed)
        if self.model is None:
            sizes = [x.shape[1], *self.hidden, outputs]
            made: Any = nn.MLP(sizes, self.activation, dropout=self.dropout, rng=rng)
        elif isinstance(self.model, nn.Module):
            made = copy.deepcopy(self.model)
        else:
            made = self._make(x.shape[1], outputs, rng)
            if not isinstance(made, nn.Module):
                raise OptionError(f"model=: the function made a {type(made).__name__}; it returns a Module")
        with evaluating(made), no_grad():
            found = np.shape(made(x[:1]))
        if found != (1, outputs):
            raise OptionError(
                f"model=: its outputs are of shape {found} for one example; this needs {(1, outputs)}"
            )
        decay = {"weight_decay": self.weight_decay} if self.weight_decay else {}
        optimizer = OPTIMIZERS[self.optimizer].make(made.parameters(), lr=self.lr, **decay)
        data, validation, callbacks = (x, y), None, []
        if self.patience is not None:
            order = rng.permutation(len(x))
            count = round(self.validation_fraction * len(x))
            if not 0 < count < len(x):
                raise OptionError(
                    f"validation_fraction={self.validation_fraction!r} of {len(x)} examples leaves nothing to train "
                    "with or to validate with"
                )
            data = x[order[count:]], y[order[count:]]
            validation = x[order[:count]], y[order[:count]]
            callbacks = [training.EarlyStopping(self.patience)]
        self.history_ = training.fit(
            made, data, epochs=self.epochs, batch_size=self.batch_size, loss=self.loss or self._default_loss,
            optimizer=optimizer, validation=validation, callbacks=callbacks, compile=self.compile, rng=rng,
            progress=self.verbose,
        )  # fmt: skip
        # A BLAS rounds otherwise for other numbers of rows; in float64, that is in no digit that anybody looks at.
        self.model_ = made.astype(np.float64)
        self.n_iter_ = len(self.history_)

    def _outputs(self, X: Any) -> NDArray:
        """What the model computes for some examples."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        outputs: NDArray = training.predict(self.model_, x)
        return outputs


class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A network as a classifier of scikit-learn.

    Parameters
    ----------
    hidden : sequence of int, default (100,)
        The number of units of each hidden layer.
    activation : str, default 'relu'
    model : Module or callable, optional
        A network of your own, instead of ``hidden``, ``activation`` and ``dropout``: ``model(features, outputs, rng)``
        makes one for each fit. Of a Module, a copy is trained.
    dropout : float in [0, 1), default 0
    loss : str or callable, optional
        As for :func:`~tinygrad_mnist.training.fit`: by default cross-entropy, or the squared error of a Regressor.
    optimizer : str, default 'adam'
    lr : float, default 0.001
    weight_decay : float, default 0
    epochs : int, default 100
    batch_size : int, default 64
    patience : int, optional
        Stop after so many epochs without a better validation loss, and keep the best weights.
    validation_fraction : float, default 0.1
        The share of the examples that are set aside for that.
    compile : bool or str, default False
        As for :func:`~tinygrad_mnist.training.fit`.
    random_state : int, RandomState or None
        The same integer gives the same model.
    verbose : bool, default False
        Whether to show the progress.

    Attributes
    ----------
    model_ : Module
    classes_ : ndarray
        The labels, sorted; they may be text.
    history_ : History
    n_features_in_, n_iter_ : int

    Notes
    -----
    Networks learn best from numbers around 0: put a ``StandardScaler`` before it, in a pipeline. It trains in float32,
    and predicts in float64.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> pipeline = make_pipeline(StandardScaler(), Classifier((16,), lr=0.01, epochs=20, random_state=0))
    >>> bool(cross_val_score(pipeline, *load_iris(return_X_y=True), cv=3).mean() > 0.9)
    True
    """

    _default_loss = "cross-entropy"

    def fit(self: Self, X: Any, y: Any) -> Self:
        """Train on examples.

        Parameters
        ----------
        X : array_like, shape (N, features)
        y : array_like, shape (N,)
            Labels of at least two classes.
        """
        x, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__}: found one class, {self.classes_[0]}; a classifier needs two"
            )
        self._train(_single(x, "X"), targets.astype(np.int64), len(self.classes_))
        return self

    def predict_proba(self, X: Any) -> NDArray:
        """The probability of each class, in the order of ``classes_``; shape (N, classes)."""
        return F.softmax(self._outputs(X))

    def predict(self, X: Any) -> NDArray:
        """The most probable class of each example."""
        best = self._outputs(X).argmax(1)
        return self.classes_[best]


class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A network as a regressor of scikit-learn; its parameters are those of :class:`Classifier`.

    Notes
    -----
    Targets, too, are learned best around 0 and of the size of 1: ``sklearn.compose.TransformedTargetRegressor`` scales
    them.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> model = Regressor(lr=0.01, epochs=50, batch_size=10, random_state=0).fit(x, np.sin(3 * x[:, 0]))
    >>> bool(model.score(x, np.sin(3 * x[:, 0])) > 0.95)
    True
    """

    _default_loss = "mse"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self: Self, X: Any, y: Any) -> Self:
        """Train on examples.

        Parameters
        ----------
        X : array_like, shape (N, features)
        y : array_like, shape (N,) or (N, outputs)
        """
        x, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._is_single = y.ndim == 1
        targets = _single(y, "y").reshape(len(y), -1)
        self._train(_single(x, "X"), targets, targets.shape[1])
        return self

    def predict(self, X: Any) -> NDArray:
        """The output for each example; shape (N,), or (N, outputs) if that was the shape of the targets."""
        y = self._outputs(X)
        return y[:, 0] if self._is_single else y
