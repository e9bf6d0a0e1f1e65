"""The training steps in PyTorch, eager and compiled, and in JAX, each with its fastest settings on a CPU.

What was tried and is not here is in each docstring: medians of a few runs of the seven workloads, on two cores
that were not always idle, so that differences below 10 % mean little.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np

from .training import Start, Training, fixed_batch
from .workloads import ADAM_BETAS, ADAM_EPS, Build, Workload

BETA1, BETA2 = ADAM_BETAS
LOG_BETA1, LOG_BETA2 = map(math.log, ADAM_BETAS)  # -expm1(t log β) is 1 - βᵗ, exact in float32 too

# ---- PyTorch ---------------------------------------------------------------------------------------


def torch_arrays(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
    """Share the memory of NumPy arrays with PyTorch, without a copy."""
    import torch

    return torch.as_tensor(x), torch.as_tensor(y)


def start_torch(workload: Workload, weights: list[np.ndarray], batch: int) -> Training:
    """Start eager PyTorch: ``nn.Sequential`` and an optimizer of ``torch.optim``.

    The fastest options are ``fused=True`` for Adam (2,660 µs a step of workload 7; 3,090 without, 3,180 with
    ``foreach``) and ``foreach=False`` for SGD (up to 8 % faster than ``foreach`` and ``fused`` on small
    networks, the same on large ones). ``F.linear`` on bare tensors in place of modules was no faster.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    activations = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU, None: torch.nn.Identity}
    layers = []
    for n_in, n_out in zip(workload.sizes, workload.sizes[1:], strict=False):
        layers += [torch.nn.Linear(n_in, n_out), activations[workload.activation]()]
    layers.pop()
    if workload.output:
        layers.append(activations[workload.output]())
    model = torch.nn.Sequential(*layers)
    params = list(model.parameters())
    with torch.no_grad():
        for p, w in zip(params, weights, strict=True):
            p.copy_(torch.from_numpy(w))
    if workload.optimizer == "adam":
        opt = torch.optim.Adam(params, lr=workload.lr, betas=ADAM_BETAS, eps=ADAM_EPS, fused=True)
    else:
        opt = torch.optim.SGD(params, lr=workload.lr, foreach=False)
    loss_of = {"mse": F.mse_loss, "cross_entropy": F.cross_entropy}[workload.loss]

    def step(x: Any, y: Any) -> float:
        opt.zero_grad(set_to_none=True)
        loss = loss_of(model(torch.as_tensor(x)), torch.as_tensor(y))
        loss.backward()
        opt.step()
        return loss.item()

    return Training(step, lambda: [p.detach().numpy() for p in params], torch_arrays)


@lru_cache(maxsize=1)
def compiled_torch_step(workload: Workload, batch: int) -> Callable[..., Any]:
    """Compile forward, backward and update of PyTorch into one graph; ``batch`` only tells sizes apart.

    Without guards nothing keeps apart two compilations of this code, hence the reset and the cache of one.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    torch.compiler.reset()

    activations = {"sigmoid": torch.sigmoid, "relu": torch.relu, None: lambda z: z}
    loss_of = {"mse": F.mse_loss, "cross_entropy": F.cross_entropy}[workload.loss]

    def loss_at(params: list, x: Any, y: Any) -> Any:
        h = x
        for i in range(0, len(params), 2):
            last = i == len(params) - 2
            h = activations[workload.output if last else workload.activation](F.linear(h, *params[i : i + 2]))
        return loss_of(h, y)

    def step(params: list, state: tuple, x: Any, y: Any) -> Any:
        gradients, loss = torch.func.grad_and_value(loss_at)(params, x, y)
        if workload.optimizer == "sgd":
            for p, g in zip(params, gradients, strict=True):
                p.sub_(workload.lr * g)
            return loss
        t, m, v = state
        t.add_(1)
        fix1, fix2 = -torch.expm1(t * LOG_BETA1), -torch.expm1(t * LOG_BETA2)
        for p, g, M, V in zip(params, gradients, m, v, strict=True):
            M.mul_(BETA1).add_(g * (1 - BETA1))
            V.mul_(BETA2).add_(g * g * (1 - BETA2))
            p.sub_(workload.lr * (M / fix1) / ((V / fix2).sqrt() + ADAM_EPS))
        return loss

    options = {"cpp_wrapper": True, "guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
    return torch.compile(step, fullgraph=True, dynamic=False, options=options)


def start_torch_compile(workload: Workload, weights: list[np.ndarray], batch: int) -> Training:
    """Start PyTorch with the whole step, backward pass and update too, compiled as one graph.

    That takes ``torch.func.grad_and_value`` and an update written out. Compiling only forward and loss, with
    or without the optimizer's step, was slower than the whole step, and on small networks often slower than
    no compilation (workload 2: 304 µs, eager 226, the whole step 83). ``cpp_wrapper`` (the calling code is C++
    too) and no guards, safe since the sizes never change, take the small networks from 84 to 55 µs and from 122
    to 67 µs (workloads 2 and 3, one thread). ``mode="max-autotune"`` made no difference beyond noise;
    ``reduce-overhead`` is for GPUs.
    """
    import torch

    params = [torch.tensor(w) for w in weights]
    state = ()
    if workload.optimizer == "adam":
        state = torch.zeros(()), [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
    compiled = compiled_torch_step(workload, batch)

    def step(x: Any, y: Any) -> float:
        return compiled(params, state, torch.as_tensor(x), torch.as_tensor(y)).item()

    return Training(step, lambda: [p.numpy() for p in params], torch_arrays)


# ---- JAX -------------------------------------------------------------------------------------------


@cache
def jitted_step(workload: Workload, online: bool) -> Callable[..., Any]:
    """Compile forward, backward and update of JAX as one function of parameters, state and batch."""
    import jax
    import jax.numpy as jnp

    activations = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, None: lambda z: z}

    def loss_at(params: list, x: Any, y: Any) -> Any:
        h = x
        for i in range(0, len(params), 2):
            W, b = params[i : i + 2]
            last = i == len(params) - 2
            z = h @ (W if online else W.T) + b
            h = activations[workload.output if last else workload.activation](z)
        if workload.loss == "mse":
            return jnp.mean((h - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(h), y[:, None], 1))

    def step(params: list, state: tuple, x: Any, y: Any) -> tuple[list, tuple, Any]:
        loss, gradients = jax.value_and_grad(loss_at)(params, x, y)
        if workload.optimizer == "sgd":
            return [p - workload.lr * g for p, g in zip(params, gradients, strict=True)], state, loss
        t, m, v = state
        t = t + 1
        m = [BETA1 * M + (1 - BETA1) * g for M, g in zip(m, gradients, strict=True)]
        v = [BETA2 * V + (1 - BETA2) * g * g for V, g in zip(v, gradients, strict=True)]
        fix1, fix2 = -jnp.expm1(t * LOG_BETA1), -jnp.expm1(t * LOG_BETA2)
        params = [
            p - workload.lr * (M / fix1) / (jnp.sqrt(V / fix2) + ADAM_EPS)
            for p, M, V in zip(params, m, v, strict=True)
        ]
        return params, (t, m, v), loss

    keeps = online and max(workload.sizes[1:]) > 500
    return jax.jit(step, donate_argnums=() if keeps else (0, 1))


def start_jax(workload: Workload, weights: list[np.ndarray], batch: int) -> Training:
    """Start JAX with one jitted step, whose parameters and state are donated.

    Dispatch is synchronous, since every step is waited for (35 instead of 40 µs for workload 2, 54 instead
    of 100 for 3). Weights are ``(out, in)``, and ``(in, out)`` for a batch of one (workload 3: 55 instead of
    150 µs). Not donating was up to 15 % slower, but for workload 4, where it is 15 % faster. XLA's
    ``multi_thread_eigen=false`` and ``enable_fast_math`` made no difference, nor did vectors for a batch of one.
    """
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    online = batch == 1
    params = [jnp.array(np.array(w.T if online else w, order="C")) for w in weights]
    state: tuple = ()
    if workload.optimizer == "adam":
        state = (
            jnp.zeros((), jnp.int32),
            [jnp.zeros_like(p) for p in params],
            [jnp.zeros_like(p) for p in params],
        )
    jitted = jitted_step(workload, online)

    def place(x: np.ndarray, y: np.ndarray) -> tuple[Any, Any]:
        return jax.device_put(x), jax.device_put(y if y.dtype == np.float32 else y.astype(np.int32))

    def step(x: Any, y: Any) -> Any:
        nonlocal params, state
        params, state, loss = jitted(params, state, x, y)
        return loss

    return Training(step, lambda: [np.asarray(p.T if online else p) for p in params], place)


# ---- all of them -----------------------------------------------------------------------------------

STARTS: dict[str, Start] = {
    "torch": start_torch, "torch.compile": start_torch_compile, "jax.jit": start_jax
}  # fmt: skip
COMPILERS: dict[str, Build] = {name: fixed_batch(start) for name, start in STARTS.items()}


def lacks_compiler(name: str) -> bool:
    """Say whether ``name`` needs a C++ compiler and there is none."""
    return name == "torch.compile" and not any(
        shutil.which(compiler) for compiler in ("g++", "clang++", "cl")
    )


def module_of(name: str) -> str:
    """Return what has to be imported for ``name``: ``torch.compile`` is part of ``torch``."""
    return name.partition(".")[0]


def why_missing(name: str) -> str | None:
    """Say what ``name`` needs that is not here, or return None."""
    if not importlib.util.find_spec(module_of(name)):
        return "pip install 'tinygrad-mnist[bench]'"
    if lacks_compiler(name):
        return "install a C++ compiler, such as g++"
    return None
