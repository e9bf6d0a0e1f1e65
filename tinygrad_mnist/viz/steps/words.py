"""What the rules of common operations say to whoever watches a sweep; others have their docstrings, or only NumPy."""

from __future__ import annotations

__all__ = ["WORDS"]

#: By operation, or by operation and argument.
WORDS = {
    "add": "A sum passes the gradient on to each of its terms.",
    "subtract.a": "The difference grows as this input does: the gradient goes on as it is.",
    "subtract.b": "The difference shrinks as this input grows: the gradient changes its sign.",
    "negative": "The gradient changes its sign.",
    "multiply": "If a factor grows by a little, the product grows by the other factor times that.",
    "divide.a": "If the numerator grows by a little, the quotient grows by that over the denominator.",
    "divide.b": "A larger denominator makes a smaller quotient: the factor is minus the result over the denominator.",
    "square": "The derivative of x² is 2x.",
    "sqrt": "The derivative of √x is 1 / (2√x), and √x is the result y.",
    "exp": "The exponential function is its own derivative: the factor is the result y.",
    "log": "The derivative of log x is 1 / x.",
    "sin": "The derivative of the sine is the cosine.",
    "cos": "The derivative of the cosine is minus the sine.",
    "tan": "The derivative of y = tan x is 1 + y².",
    "tanh": "The derivative of y = tanh x is 1 - y²: near 1 or -1 hardly anything comes through.",
    "sigmoid": "The derivative of y = sigmoid(x) is y (1 - y), which is at most a quarter.",
    "softplus": "The derivative of softplus is the sigmoid.",
    "absolute": "The sign of x decides the sign of the gradient.",
    "maximum": "The gradient goes to the larger one; if both are equal, each gets half.",
    "minimum": "The gradient goes to the smaller one; if both are equal, each gets half.",
    "sum": "Each term adds to the sum as it is, so each gets the whole gradient.",
    "softmax": "A share grows at the expense of all others: from g, its mean weighted by the shares y is taken.",
    "log_softmax": "Each output gets g, less its probability times the sum of g.",
    "take_along": "The gradient goes back to the element that was picked; all others get 0.",
    "reshape": "The numbers are the same in another shape, and so is the gradient.",
    "power.a": "The exponent becomes a factor, and the power is one lower: the derivative of x³ is 3x².",
    "matmul.a": "Each number met a row of the right-hand side: it gets that row, weighted by the gradient.",
    "matmul.b": "Each number met a column of the left-hand side: it gets that column, weighted by the gradient.",
    "dot.a": "Each number met numbers of the right-hand side: it gets those, weighted by the gradient.",
    "dot.b": "Each number met numbers of the left-hand side: it gets those, weighted by the gradient.",
    "linear.x": "Each input gets the gradients of all outputs, weighted by the weights on the way: g @ weight.",
    "linear.weight": "Each weight gets the numbers that it was multiplied by, weighted by the gradient of its output.",
    "linear.bias": "The bias is added to every row, so it gets the sum of their gradients.",
    "max_pool2d": "The gradient goes to the largest element of each window.",
    "conv2d.x": "Each pixel gets the gradients of all places that saw it, weighted by the kernel.",
    "conv2d.weight": "Each weight of the kernel gets the products of g with the pixels that it met, added up.",
    "conv2d.bias": "The bias is added everywhere, so it gets the sum of g over all places.",
    "window_sum": "Each pixel gets the gradient of each window that it was added to.",
}
