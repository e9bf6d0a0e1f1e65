"""An autoencoder turns every digit into two numbers, and back again.

A network reproduces its own input, but only two numbers pass through its middle. So it has to find out by itself
what distinguishes one digit from another. With two numbers, the digits lie on a map. It never sees a label.

    python examples/autoencoder.py --full
    python examples/autoencoder.py --full --code 16       (more numbers: better pictures, and no map)
"""

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment


class Autoencoder(tg.nn.Module):
    """784 pixels → a few numbers → 784 pixels."""

    def __init__(self, code=2, seed=0):
        rng = np.random.default_rng(seed)
        self.encoder = tg.nn.MLP([784, 256, 64, code], rng=rng)
        self.decoder = tg.nn.MLP([code, 64, 256, 784], output="sigmoid", rng=rng)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def learn(model, images, validation, epochs, seed, folder):
    """Train with the images as their own targets."""
    return tg.training.fit(
        model,
        (images, images),
        epochs=epochs,
        batch_size=50,
        loss=tg.nn.MSELoss(),
        optimizer=tg.optim.Adam(model.parameters(), lr=5e-3),
        schedule=tg.optim.OneCycleLR,
        validation=(validation, validation),
        rng=seed,
        resume=folder,
    )


def flat_error(images, others, code):
    """Return the error of the best linear code of this size, which uses principal components."""
    centre = images.mean(axis=0)
    directions = np.linalg.eigh(np.cov(images.T))[1][:, -code:]
    shadows = centre + (others - centre) @ directions @ directions.T
    return np.mean(np.square(shadows - others))


@experiment("mnist")
@click.option(
    "--code",
    type=click.IntRange(1, 784),
    default=2,
    show_default=True,
    help="Number of values in the middle.",
)
@click.option(
    "--epochs", type=click.IntRange(1), help="Number of passes through the data.  [default: 6, --full: 12]"
)
def main(report, full, seeds, train, test, code, epochs):
    images, _ = train[:]
    images, validation = np.split(images, [len(images) * 5 // 6])
    unseen, digits = test[:]
    runs = report.table("Mean squared error per pixel, on digits that were not used for training", mean=True)
    for seed in seeds:
        model = Autoencoder(code, seed)
        history = learn(
            model, images, validation, epochs or (12 if full else 6), seed, report.checkpoints(seed)
        )
        runs.add(
            seed=seed,
            code=code,
            error=tg.training.evaluate(model, (unseen, unseen), loss=tg.nn.MSELoss())["loss"],
            error_of_principal_components=flat_error(images, unseen, code),
        )
    report.history(history, caption="Mean squared error, epoch by epoch")
    report.model(model)

    shown = unseen[[np.flatnonzero(digits == digit)[0] for digit in range(10)]]
    pairs = np.stack([shown, tg.training.predict(model, shown)], axis=1).reshape(2, 5, 2, 784).swapaxes(1, 2)
    report.picture(
        "reconstructions.png",
        tg.viz.plot_images,
        pairs.reshape(20, 784),
        columns=5,
        rows=["digits", f"from {code} numbers"] * 2,
        caption=f"Digits, and below each its reconstruction from {code} numbers",
    )
    if code == 2:
        codes = tg.training.predict(model.encoder, unseen)
        axes = {"xlabel": "first number", "ylabel": "second number"}
        report.picture(
            "map.png",
            tg.viz.plot_scatter,
            codes,
            digits,
            caption="The map: each point is a digit, coloured by its class",
            **axes,
        )
        # Steps with equally many digits between them, so that the crowded middle is visible as well.
        across, up = np.quantile(codes, (np.arange(19) + 0.5) / 19, axis=0).astype(np.float32).T
        report.picture(
            "plane.png",
            tg.viz.plot_plane,
            model.decoder,
            across,
            up,
            caption="The image that the network draws for each place of the map",
            **axes,
        )


if __name__ == "__main__":
    main()
