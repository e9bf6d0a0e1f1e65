"""A network without convolutions that sees no digit twice: each is turned, slanted and bent anew.

The digits of the training set are only 60,000, but a digit that was bent a little is still the same digit. With
enough of these, layers that connect everything read as well as convolutions do.

    python examples/elastic.py
    python examples/elastic.py --full
"""

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment

CHANGES = "rotate,scale,shear,shift,elastic"


def learn(model, train, validation, epochs, augment, seed, folder, compile):
    return tg.training.fit(
        model,
        tg.data.DataLoader(train, 128, shuffle=True, augment=augment, rng=seed),
        epochs=epochs,
        optimizer=tg.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01),
        schedule=tg.optim.OneCycleLR,
        validation=validation,
        compile=compile,
        resume=folder,
    )


@experiment("mnist")
@click.option(
    "--neurons",
    type=click.IntRange(1),
    help="Neurons in the hidden layer.  [default: 100, or 800 with --full]",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Number of passes through the data.  [default: 10, or 20 with --full]",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 5, min_open=True),
    default=1.0,
    show_default=True,
    help="How far the changes go.",
)
def main(report, full, seeds, train, test, neurons, epochs, strength, compile):
    neurons, epochs = neurons or (800 if full else 100), epochs or (20 if full else 10)
    train, validation = train.split(len(train) * 11 // 12)
    few = train.inputs[:6]
    augment = tg.data.Augment(CHANGES, strength=strength, rng=0)
    report.picture(
        "bent.png",
        tg.viz.plot_images,
        np.concatenate([np.stack([image, *augment(np.repeat(image[None], 9, axis=0))]) for image in few]),
        caption="Six digits as they were written (left), and as the network sees them",
    )
    runs, curves = report.table("Digits that were not used for training", mean=False), {}
    for name in ("as written", "bent"):
        for seed in seeds:
            rng = np.random.default_rng(seed)
            model = tg.nn.MLP([784, neurons, 10], rng=rng)
            bend = tg.data.Augment(CHANGES, strength=strength, rng=rng) if name == "bent" else None
            folder = report.checkpoints(seed) / name.replace(" ", "_")
            history = learn(model, train, validation, epochs, bend, seed, folder, compile)
            curves.setdefault(name, []).append([100 * (1 - row["validation_accuracy"]) for row in history])
            runs.add(
                digits=name,
                seed=seed,
                validation_accuracy=history[-1]["validation_accuracy"],
                test_accuracy=tg.training.accuracy(test.targets, tg.training.predict(model, test)),
                training_seconds=history.seconds,
            )
    report.picture(
        "epochs.png",
        tg.viz.plot_lines,
        range(1, epochs + 1),
        curves,
        xlabel="epoch",
        ylabel="validation digits misread (%)",
        ylim=(0, np.ceil(3 * max(1, *(runs[-1] for runs in curves["as written"])))),
        caption="With the digits as they were written, it has soon learned all there is to learn",
    )
    report.model(model)


if __name__ == "__main__":
    main()
