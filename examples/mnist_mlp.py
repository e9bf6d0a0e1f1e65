"""Train a digit classifier by writing only its forward pass.

This is all of it: data, model, loss, update. No gradient is written anywhere; ``backward()``
computes them from the operations that were recorded. Run it with

    python examples/mnist_mlp.py
"""

import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.nn import functional as F


class Classifier(tg.nn.Module):
    """784 pixels in, 10 scores out; the largest score is the answer."""

    def __init__(self, hidden, rng):
        self.hidden = tg.nn.Linear(784, hidden, weight_init="kaiming_normal", rng=rng)
        self.output = tg.nn.Linear(hidden, 10, rng=rng)

    def forward(self, images):
        return self.output(F.relu(self.hidden(images)))


def accuracy(model, data):
    images, labels = data[:]
    with tg.no_grad():
        return np.mean(np.argmax(model(images), axis=1) == labels)


def main(epochs=8, batch_size=32, learning_rate=0.1, seed=0):
    # The 5,000 digits that come with the package; load_mnist() finds or downloads all 70,000.
    train, test = tg.data.load_mnist("sample")

    rng = np.random.default_rng(seed)
    model = Classifier(128, rng)
    optimizer = tg.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9, nesterov=True)
    batches = tg.data.DataLoader(train, batch_size, shuffle=True, rng=rng)
    schedule = tg.optim.OneCycleLR(optimizer, epochs * len(batches))

    for epoch in range(1, epochs + 1):
        losses = []
        for images, labels in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch}  loss {np.mean(losses):.4f}  test accuracy {accuracy(model, test):.1%}")
    return float(accuracy(model, test))


if __name__ == "__main__":
    main()
