"""A variational autoencoder draws digits that nobody has written.

The encoder turns each digit not into a point but into a cloud, with a mean and a width for every number of the
code. The decoder gets a random point of the cloud, and the clouds are drawn towards one standard normal
distribution. So a point drawn from that distribution is a new digit, and between two digits there are others.

    python examples/variational_autoencoder.py --full
    python examples/variational_autoencoder.py --full --code 2      (with a map of the plane)
"""

from statistics import NormalDist

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F


class VariationalAutoencoder(tg.nn.Module):
    """Return the cost of each image in nats: a bound on -log p(image)."""

    def __init__(self, code=16, neurons=400, seed=0):
        self.rng = np.random.default_rng(seed)
        self.encoder = tg.nn.MLP([784, neurons, 2 * code], rng=self.rng)
        self.decoder = tg.nn.MLP([code, neurons, 784], rng=self.rng)

    def encode(self, x):
        mean, log_variance = np.split(self.encoder(x), 2, axis=1)
        return mean, log_variance

    def decode(self, code):
        return F.sigmoid(self.decoder(code))

    def forward(self, x):
        mean, log_variance = self.encode(x)
        # The noise is drawn separately, so that the gradient passes through mean and width.
        noise = self.rng.standard_normal(mean.shape, np.float32)
        logits = self.decoder(mean + np.exp(log_variance / 2) * noise)
        pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return np.sum(pixels, axis=1) + divergence(mean, log_variance)


def divergence(mean, log_variance):
    """Return the Kullback-Leibler divergence of each cloud from the standard normal distribution."""
    return np.sum(np.square(mean) + np.exp(log_variance) - log_variance - 1, axis=1) / 2


def mean_cost(costs, labels):
    return np.mean(costs)


def learn(model, train, validation, epochs, seed, folder):
    return tg.training.fit(
        model,
        train,
        epochs=epochs,
        batch_size=100,
        loss=mean_cost,
        optimizer=tg.optim.Adam(model.parameters(), lr=2e-3),
        schedule=tg.optim.OneCycleLR,
        validation=validation,
        rng=seed,
        resume=folder,
    )


@experiment("mnist")
@click.option(
    "--code", type=click.IntRange(1), default=16, show_default=True, help="Number of values in a code."
)
@click.option(
    "--neurons",
    type=click.IntRange(1),
    default=400,
    show_default=True,
    help="Number of neurons in each hidden layer.",
)
@click.option(
    "--epochs", type=click.IntRange(1), help="Number of passes through the data.  [default: 8, --full: 20]"
)
def main(report, full, seeds, train, test, code, neurons, epochs):
    train, validation = train.split(len(train) * 5 // 6)
    runs = report.table("Cost in nats, on digits that were not used for training", mean=True)
    images, digits = test[:]
    for seed in seeds:
        model = VariationalAutoencoder(code, neurons, seed)
        history = learn(
            model, train, validation, epochs or (20 if full else 8), seed, report.checkpoints(seed)
        )
        with tg.no_grad():
            means, log_variances = model.encode(images)
            cost = float(np.mean(model(images)))
            kl = float(np.mean(divergence(means, log_variances)))
        runs.add(seed=seed, code=code, cost=cost, reconstruction=cost - kl, divergence=kl)
    report.history(history, caption="Cost in nats, epoch by epoch")
    report.model(model)

    with tg.no_grad():
        noise = np.random.default_rng(seed).standard_normal((60, code), np.float32)
        report.picture(
            "new_digits.png",
            tg.viz.plot_images,
            model.decode(noise),
            columns=15,
            caption="New digits: decoded noise",
        )
        one_each = np.stack([np.flatnonzero(digits == digit)[0] for digit in range(10)])
        start, end = means.data[one_each[:5], None], means.data[one_each[5:], None]
        share = np.linspace(0, 1, 12, dtype=np.float32)[:, None]
        walks = (start + share * (end - start)).reshape(-1, code)
        report.picture(
            "walks.png",
            tg.viz.plot_images,
            model.decode(walks),
            columns=12,
            caption="Walks between two digits of the test data",
        )
    if code == 2:
        # Steps with equal shares of the normal distribution between them.
        steps = np.array([NormalDist().inv_cdf((i + 0.5) / 19) for i in range(19)], np.float32)
        axes = {"xlabel": "first number", "ylabel": "second number"}
        report.picture(
            "map.png",
            tg.viz.plot_scatter,
            means,
            digits,
            caption="The map: each point is a digit, coloured by its class",
            **axes,
        )
        report.picture(
            "plane.png",
            tg.viz.plot_plane,
            model.decode,
            steps,
            steps,
            caption="The image that the network draws for each place of the map",
            **axes,
        )


if __name__ == "__main__":
    main()
