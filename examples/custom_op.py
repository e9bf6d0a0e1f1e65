"""Define a new differentiable operation in ten lines, and prove that its gradient is right.

``snake(x) = x + sin²(a x) / a`` is an activation for periodic data. Its value is plain NumPy, and so are
its two rules, so they can be differentiated again.

    python examples/custom_op.py
"""

import numpy as np

import tinygrad_mnist as tg


@tg.primitive(samples=[((2, 3), ()), ((4,), (4,))])
def snake(x, a, /):
    """``x + sin(a x)² / a``, elementwise with broadcasting."""
    return x + np.sin(a * x) ** 2 / a


snake.vjp(
    lambda g, y, x, a: g * (1 + np.sin(2 * a * x)),
    lambda g, y, x, a: g * (x * np.sin(2 * a * x) / a - (np.sin(a * x) / a) ** 2),
)


def main():
    x = tg.tensor([0.1, 0.5, 0.9], requires_grad=True)
    a = tg.tensor(2.0, requires_grad=True)
    np.sum(snake(x, a)).backward()
    print("x.grad", x.grad)
    print("a.grad", a.grad)

    for sample in snake.samples:
        tg.testing.gradcheck(snake, *sample.draw(), order=2)
    print("first and second order agree with finite differences")


if __name__ == "__main__":
    main()
