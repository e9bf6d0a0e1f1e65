"""How fast is 99 %? The shortest training after which a network reads 99.0 % of the test digits.

The same network is trained for different times, each with its own cycle of the learning rate, from the start.

    python examples/speedrun.py
    python examples/speedrun.py --full --seeds 3
"""

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.training.models import MODELS
from tinygrad_mnist.training.recipes import RECIPES

GOAL = 0.99

#: The settings of ``tinygrad-mnist train --recipe fast``.
RECIPE = RECIPES["fast"].options


def learn(model, train, images, seed, folder, compile):
    """Train for one pass through the first images."""
    return tg.training.fit(
        model,
        train.subset(slice(images)),
        epochs=1,
        batch_size=int(RECIPE["batch_size"]),
        loss=tg.nn.CrossEntropyLoss(label_smoothing=float(RECIPE["label_smoothing"])),
        optimizer=tg.optim.AdamW(model.parameters(), lr=float(RECIPE["lr"]), weight_decay=0.05),
        schedule=tg.optim.OneCycleLR,
        rng=seed,
        compile=compile,
        resume=folder,
    )


def shortest(seconds, accuracies, goal=GOAL):
    """Return the mean time of the shortest training that reached the goal on average over the seeds, or None."""
    reached = np.mean(accuracies, axis=0) >= goal
    return np.mean(seconds, axis=0)[reached].min() if reached.any() else None


@experiment("mnist")
@click.option(
    "--model", type=click.Choice([*MODELS]), default=RECIPE["model"], show_default=True, help="The network."
)
def main(report, full, seeds, train, test, model, compile):
    lengths = [int(len(train) * share) for share in (0.125, 0.25, 0.5, 0.75, 1)]
    runs, seconds, accuracies = report.table("Trainings of different lengths"), [], []
    for seed in seeds:
        seconds.append([])
        accuracies.append([])
        for images in lengths:
            network = MODELS[model].make(28, 10, np.random.default_rng(seed))
            history = learn(network, train, images, seed, report.checkpoints(seed) / str(images), compile)
            seconds[-1].append(history.seconds)
            accuracies[-1].append(tg.training.accuracy(test.targets, tg.training.predict(network, test)))
            runs.add(
                seed=seed,
                images_seen=images,
                training_seconds=seconds[-1][-1],
                test_accuracy=accuracies[-1][-1],
            )
    found = shortest(seconds, accuracies)
    report.text(
        f"{GOAL:.1%} of the test digits after {found:.1f} s of training"
        if found is not None
        else f"None of these trainings reached {GOAL:.1%} of the test digits."
    )
    report.picture(
        "lengths.png",
        tg.viz.plot_lines,
        np.array(lengths) / 1000,
        {"test digits": 100 * np.array(accuracies), "99 %": np.full(len(lengths), 100 * GOAL)},
        xlabel="images seen (thousands)",
        ylabel="accuracy (%)",
        log_x=True,
        caption="Each point is a training of its own",
    )
    report.model(network)


if __name__ == "__main__":
    main()
