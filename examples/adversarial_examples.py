"""A small, deliberate change makes a network take a digit for another one.

Training asks how the loss changes with the weights. Ask the same about the pixels, and the answer says in which
direction to push each of them to make the network wrong: no pixel by more than a given size, none below 0 or above 1.

    python examples/adversarial_examples.py --size 0.1
    python examples/adversarial_examples.py --defend        (and train a network on such images)
"""

import click
import numpy as np

import tinygrad_mnist as tg
from tinygrad_mnist.experiments import experiment
from tinygrad_mnist.nn import functional as F
from tinygrad_mnist.palette import INK, RIGHT, SIGNS, WRONG
from tinygrad_mnist.viz.figures import finish, new_figure

SIZES = (0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3)


def slope(model, images, labels):
    """Return how the loss changes with each pixel; because of the sum, each image has its own gradient."""
    with tg.no_grad():  # the attack itself is not differentiated
        return tg.grad(lambda pixels: F.cross_entropy(model(pixels), labels, reduction="sum"))(images)


def attack(model, images, labels, size, steps=1):
    """Climb the loss: in one step by the fast gradient sign method, in several by projected gradients."""
    lowest, highest = np.maximum(images - size, 0), np.minimum(images + size, 1)
    stride = size if steps == 1 else 2.5 * size / steps
    changed = images
    for _ in range(steps):
        changed = changed + stride * np.sign(slope(model, changed, labels))
        changed = np.clip(changed, lowest, highest)
    return changed


def add_noise(images, size, rng):
    """Push every pixel equally far, but randomly up or down: the effect of the size without the direction."""
    return np.clip(images + size * rng.choice(np.float32([-1, 1]), images.shape), 0, 1)


def learn(model, train, epochs, size, seed):
    """Train; with a size, on attacked images, which are made anew as the network changes."""
    batches = tg.data.DataLoader(train, 64, shuffle=True, rng=seed)
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = tg.optim.OneCycleLR(optimizer, epochs * len(batches))
    for _ in range(epochs):
        for images, labels in batches:
            if size:
                images = attack(model, images, labels, size, steps=3)
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            schedule.step()


def measure(model, images, labels, sizes, steps, seed):
    """Return the accuracy for each size of each kind of change."""
    rng = np.random.default_rng(seed)
    changes = {
        "noise": lambda size: add_noise(images, size, rng),
        "one step": lambda size: attack(model, images, labels, size),
        f"{steps} steps": lambda size: attack(model, images, labels, size, steps),
    }
    return {
        kind: [tg.training.accuracy(labels, tg.training.predict(model, change(size))) for size in sizes]
        for kind, change in changes.items()
    }


def plot_attack(images, changed, labels, before, after, size, *, path=None):
    """Show the images, what was added (red: ink; blue: ink taken away), and the results."""
    columns = 5
    blocks = -(-len(images) // columns)
    figure = new_figure(0.92 * columns + 1.3, 3.3 * blocks)
    axes = figure.add_subplot()
    rows = {
        "image,\nits answer": images,
        "what is added\n(red: ink, blue:\nink taken away)": changed - images,
        "result,\nits answer": changed,
    }
    for row, (name, pictures) in enumerate(rows.items()):
        look = {"cmap": SIGNS, "vmin": -size, "vmax": size} if row == 1 else {"cmap": "gray_r"}
        for i, picture in enumerate(pictures):
            left, top = 32 * (i % columns), 112 * (i // columns) + (0, 31, 72)[row]
            if left == 0:
                axes.text(-3, top + 14, name, ha="right", va="center", fontsize=8, color=INK)
            axes.imshow(picture.reshape(28, 28), extent=(left, left + 28, top + 28, top), **look)
            if row != 1:
                sure = before[i] if row == 0 else after[i]
                is_wrong = sure.argmax() != labels[i]
                text, colour = f"{sure.argmax()}  {sure.max():.0%}", WRONG if is_wrong else RIGHT
                axes.text(left + 14, top - 2, text, ha="center", fontsize=9, fontweight="bold", color=colour)
    axes.set(xlim=(-34, 32 * columns), ylim=(112 * blocks - 11, -9))
    axes.set_axis_off()
    return finish(figure, path)


@experiment("mnist")
@click.option(
    "--neurons", type=click.IntRange(1), default=100, show_default=True, help="Number of hidden neurons."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Number of passes through the data.",
)
@click.option(
    "--size",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Largest change of a pixel (paper is 0, ink is 1), in the pictures and in the defence.",
)
@click.option(
    "--steps", type=click.IntRange(2), default=10, show_default=True, help="Steps of the longer attack."
)
@click.option("--defend", is_flag=True, help="Also train a network on attacked images.")
def main(report, full, seeds, train, test, neurons, epochs, size, steps, defend):
    images, labels = test[:]
    digits = [
        np.flatnonzero(labels == digit)[0] for digit in np.unique(labels)
    ]  # the first image of each digit
    sizes = sorted({*SIZES, size})
    networks = {"usual": 0, **({"defended": size} if defend else {})}
    runs, curves = report.table(f"Test images, with pixels changed by at most {size:g}", mean=not defend), {}
    for name, trained_size in networks.items():
        for seed in seeds:
            model = tg.nn.MLP([784, neurons, 10], rng=seed)
            learn(model, train, epochs, trained_size, seed)
            found = measure(model, images, labels, sizes, steps, seed)
            for kind, accuracies in found.items():
                curves.setdefault(f"{name}, {kind}", []).append(100 * np.array(accuracies))
            at_size = {
                f"{kind.replace(' ', '_')}_accuracy": accuracies[sizes.index(size)]
                for kind, accuracies in found.items()
            }
            runs.add(network=name, seed=seed, unchanged_accuracy=found["noise"][0], **at_size)
        changed = attack(model, images[digits], labels[digits], size, steps)
        before, after = (F.softmax(tg.training.predict(model, x)) for x in (images[digits], changed))
        given = images[digits], changed, labels[digits], before, after, size
        caption = (
            f"The {name} network: its answer for each image, and how sure it is; wrong answers are orange"
        )
        report.picture(f"attack_{name}.png", plot_attack, *given, caption=caption)
        report.model(model, f"model_{name}")
    report.picture(
        "accuracy.png",
        tg.viz.plot_lines,
        sizes,
        curves,
        xlabel="most that a pixel is changed by",
        ylabel="test accuracy (%)",
        caption="The larger the change, the more images are misread; noise of the same size does far less",
    )


if __name__ == "__main__":
    main()
