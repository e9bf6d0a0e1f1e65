"""What the doctor can find: one row for each fault, with the reason and the cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ...origins import Line

__all__ = ["FAULTS", "Fault", "Finding", "where"]


class Fault(NamedTuple):
    """A kind of fault.

    Attributes
    ----------
    why : str
        Why it is one.
    cure : str
        What to try.
    """

    why: str
    cure: str


FAULTS = {
    # -- the data
    "non-finite-data": Fault(
        "One NaN or infinity in a batch makes the loss NaN, and then every weight.",
        "Find and replace or drop these samples: np.isfinite(inputs) says which they are.",
    ),
    "inputs-not-scaled": Fault(
        "Large inputs make large gradients in the first layer and saturate its units.",
        "Scale the inputs to about 0…1, or to mean 0 and standard deviation 1: x / 255 for pixels.",
    ),
    "inputs-scaled-twice": Fault(
        "Inputs near zero hardly change the units, so the network sees almost the same for every sample.",
        "Scale the inputs once: a Dataset of bytes is divided by 255 already.",
    ),
    "labels-out-of-step": Fault(
        "Samples that look alike should have the same label more often than chance; here they do not.",
        "Shuffle inputs and labels with one permutation, and check that both files begin with the same sample.",
    ),
    "labels-out-of-range": Fault(
        "Classes count from 0, and each needs an output of its own.",
        "Subtract the smallest label, or map the labels to 0, 1, 2, …",
    ),
    "too-few-outputs": Fault(
        "A class without an output of its own can never be predicted.",
        "Give the last layer one output for each class, and use cross-entropy.",
    ),
    "targets-out-of-range": Fault(
        "The last activation cannot reach these targets, so the loss has a floor and units saturate.",
        "Scale the targets into the range of the output, or leave out the last activation.",
    ),
    "class-imbalance": Fault(
        "A network that always says the most common class is right most of the time, and stops learning there.",
        "Weigh or resample the classes, and look at the accuracy of each class.",
    ),
    "data-not-shuffled": Fault(
        "Batches that hold one class each pull the weights towards that class in turn.",
        "Make the loader with shuffle=True.",
    ),
    "leak": Fault(
        "Samples that are used for training cannot measure what the network does with new ones.",
        "Split the data once, before anything is copied or augmented, and drop duplicates.",
    ),
    # -- the end of the network, and the loss
    "softmax-twice": Fault(
        "The loss applies the softmax itself. A second one flattens the probabilities: the loss cannot fall below "
        "about ln(C) - 1 plus a little, and gradients vanish.",
        "Remove the softmax at the end of the model: the loss takes logits.",
    ),
    "sigmoid-twice": Fault(
        "The loss applies the sigmoid itself. After a second one, all probabilities lie between 0.5 and 0.73.",
        "Remove the sigmoid at the end of the model: the loss takes logits.",
    ),
    "bounded-logits": Fault(
        "The softmax of numbers in a small range is never close to 0 or 1, so the loss has a high floor.",
        "Remove the activation at the end of the model: logits may be any real numbers.",
    ),
    "relu-on-output": Fault(
        "A ReLU turns all negative outputs into 0. There the gradient is 0 too, and the unit may never return.",
        "Remove the ReLU at the end of the model.",
    ),
    "logits-as-probabilities": Fault(
        "The loss takes the logarithm of probabilities, but gets any real numbers: it can fall without limit, or "
        "becomes NaN.",
        "Use cross_entropy, which takes logits, or end the model with log_softmax (for nll_loss) or softmax.",
    ),
    "broadcast-in-loss": Fault(
        "Shapes (N, 1) and (N,) broadcast to (N, N): every output is compared with every target, and the best "
        "answer is the mean of all targets.",
        "Give both the same shape: outputs[:, 0], or targets[:, None].",
    ),
    "sum-for-mean": Fault(
        "A sum over the batch grows with the batch, and so do the gradients: the learning rate is multiplied by "
        "the size of the batch.",
        "Take the mean over the batch, or divide the learning rate by the size of the batch.",
    ),
    "initial-loss": Fault(
        "A network that knows nothing should give all classes about the same probability: a loss of ln(C).",
        "Scale the inputs, and start with smaller weights, above all in the last layer.",
    ),
    # -- the model
    "missing-nonlinearity": Fault(
        "Two linear layers in a row can do no more than one.",
        "Put an activation between them.",
    ),
    "input-ignored": Fault(
        "If the output does not depend on the input, there is nothing to learn but an average.",
        "Follow one sample through forward(): is x overwritten, multiplied by 0, or cut?",
    ),
    "equal-weights": Fault(
        "Units with equal weights get equal gradients and stay equal: the layer works like a single unit.",
        "Start with random weights, such as tg.nn.init.he_uniform.",
    ),
    "weights-too-large": Fault(
        "Each layer multiplies the size of its input, so units saturate and gradients explode.",
        "Use a spread of about sqrt(2 / inputs) per weight (He, for ReLU) or sqrt(1 / inputs) (Glorot).",
    ),
    "weights-too-small": Fault(
        "Each layer shrinks its input, so that signals and gradients vanish.",
        "Use a spread of about sqrt(2 / inputs) per weight (He, for ReLU) or sqrt(1 / inputs) (Glorot).",
    ),
    "dead-units": Fault(
        "A ReLU that gives 0 for every sample gets no gradient and never recovers.",
        "Lower the learning rate, scale the inputs, start biases at 0, or use a leaky ReLU.",
    ),
    "saturated-units": Fault(
        "On the flat ends of a sigmoid or tanh the gradient is almost 0.",
        "Scale the inputs, start with smaller weights, or use ReLU.",
    ),
    "vanishing-gradients": Fault(
        "The first layers get so little gradient that they hardly learn.",
        "Use ReLU in place of sigmoids, He's weights, fewer layers, or connections around them.",
    ),
    "exploding-gradients": Fault(
        "Gradients grow from layer to layer, and one step can ruin the weights.",
        "Start with smaller weights, clip the gradients (clip_norm=), or scale inputs and targets.",
    ),
    "dropout-too-high": Fault(
        "Too few units are left in each step to carry the signal.",
        "Use 0.2 to 0.5.",
    ),
    "train-eval-mixed-up": Fault(
        "Dropout must act in training only, and batch norm uses its running statistics afterwards.",
        "Call model.train() before training and model.eval() before measuring, and pass training=self.training.",
    ),
    "no-gradient": Fault(
        "A parameter that the loss does not depend on, or that is cut off by detach() or no_grad(), never learns.",
        "Use it in forward(), and keep Tensors: no .data, .detach(), .item() or np.asarray on the way.",
    ),
    "not-in-optimizer": Fault(
        "The optimizer only changes the parameters that it was given.",
        "Make the optimizer after the model is complete, with model.parameters(); make plain Tensors Parameters.",
    ),
    "frozen-parameters": Fault(
        "A parameter with requires_grad=False gets no gradient, so the optimizer leaves it alone.",
        "Set requires_grad=True, or leave it out of the optimizer if that is what you want.",
    ),
    "gradients-not-zeroed": Fault(
        "backward() adds to grad. Without zero_grad() each step follows the sum of all gradients so far.",
        "Call optimizer.zero_grad() before every backward().",
    ),
    # -- the course of training
    "learning-rate-too-high": Fault(
        "Steps that are too long jump over the minimum, and the loss grows, jumps or becomes NaN.",
        "Divide the learning rate by 10; tg.training.lr_find shows the range that works.",
    ),
    "learning-rate-too-low": Fault(
        "Steps that are too short hardly change the weights.",
        "Multiply the learning rate by 10; tg.training.lr_find shows the range that works.",
    ),
    "weight-decay-too-high": Fault(
        "The pull towards 0 is stronger than what the data say.",
        "Use 1e-4 to 1e-2 (up to about 0.1 with AdamW).",
    ),
    "cannot-overfit-one-batch": Fault(
        "A network that cannot learn a few samples by heart will not learn many.",
        "Look for a mistake in the model, the loss or the labels before you change settings.",
    ),
    "oscillation": Fault(
        "The loss goes up and down and does not fall.",
        "Divide the learning rate by 3 to 10, or use larger batches.",
    ),
    "plateau": Fault(
        "The loss has stopped falling far from a good value.",
        "Change the learning rate, look at dead units, or use a larger network.",
    ),
    "overfitting": Fault(
        "The loss on the training data falls while the loss on other data grows.",
        "Stop earlier (EarlyStopping), and use more data, augmentation, dropout or weight decay.",
    ),
    "one-class-predicted": Fault(
        "The network gives the same answer for everything.",
        "Look at the learning rate, the balance of the classes, and whether the inputs reach the network.",
    ),
}


@dataclass(frozen=True)
class Finding:
    """One fault, and what shows it.

    Attributes
    ----------
    code : str
        The name of the fault, one of ``FAULTS``; it stays the same from version to version.
    evidence : str
        What was measured, in numbers.
    layer : str
        The layer, parameter or data that it concerns, or ``""``.
    line : str
        The line of your program, or ``""``.

    Examples
    --------
    >>> print(Finding("inputs-not-scaled", "the inputs go from 0 to 255"))
    inputs-not-scaled: the inputs go from 0 to 255.
      Why: Large inputs make large gradients in the first layer and saturate its units.
      Try: Scale the inputs to about 0…1, or to mean 0 and standard deviation 1: x / 255 for pixels.
    """

    code: str
    evidence: str
    layer: str = ""
    line: str = ""

    @property
    def why(self) -> str:
        """Why it is a fault."""
        return FAULTS[self.code].why

    @property
    def cure(self) -> str:
        """What to try."""
        return FAULTS[self.code].cure

    def __str__(self) -> str:
        place = f" ({self.layer})" if self.layer else ""
        line = f"\n  Where: {self.line}" if self.line else ""
        return f"{self.code}{place}: {self.evidence}.{line}\n  Why: {self.why}\n  Try: {self.cure}"


def where(line: Line | None) -> str:
    """Say where a line is, if it belongs to the user's program."""
    return "" if line is None or line.is_internal else str(line)
