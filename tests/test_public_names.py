"""The public names, and the modules they are imported from: a program that uses them keeps working.

A name may be added here. One that goes, or moves, breaks programs that others have written.
"""

from __future__ import annotations

import importlib

import pytest

NAMES = {
    "tinygrad_mnist": """
        Sample Tensor checkpoint compile data detect_anomaly enable_grad errors export_onnx
        from_torch grad graph hessian hvp import_onnx is_recording jacobian jvp load nn no_grad ops
        optim primitive save sklearn tensor testing to_torch training value_and_grad viz vjp
    """,
    "tinygrad_mnist.cli": "cli main",
    "tinygrad_mnist.compiler": "Compiled Stats compile",
    "tinygrad_mnist.data": """
        AUGMENTATIONS Augment BundledSampleWarning DATASETS DataLoader Dataset Place SAMPLE Source
        cache_folder describe digits_to_vectors fetch_mnist load load_digits load_fashion_mnist
        load_files load_mnist read_csv read_digit read_images to_images to_vectors
    """,
    "tinygrad_mnist.errors": """
        CompileError DTypeError DataError GradcheckError GradientError LostGradientWarning MissingExtraError
        MissingFileError NonFiniteError OptionError RunError ShapeError StateDictError TinygradError UnsupportedError
        UntraceableError choice describe_briefly misfit pluralise quote require
    """,
    "tinygrad_mnist.experiments": "Experiment Report Table catalogue experiment grid run_experiment sweep",
    "tinygrad_mnist.experiments.sweeps": "BACKENDS grid sweep",
    "tinygrad_mnist.files": "load read_metadata read_safetensors replace save unfinished",
    "tinygrad_mnist.graph": "Node changed conjugate enable_grad fit is_recording no_grad scope sweep",
    "tinygrad_mnist.interop.onnx": "Exported OnnxModel export_onnx import_onnx",
    "tinygrad_mnist.interop.sklearn": "Classifier Regressor",
    "tinygrad_mnist.interop.torch": "from_torch to_torch",
    "tinygrad_mnist.nn": """
        AdaptiveAvgPool2d AvgPool2d BCELoss BCEWithLogitsLoss BatchNorm1d BatchNorm2d Committee Conv1d Conv2d
        ConvTranspose2d CrossEntropyLoss Dropout Dropout2d ELU Embedding Flatten GELU GRU GaussianNoise GroupNorm
        HuberLoss Identity KLDivLoss L1Loss LSTM LayerNorm LeakyReLU Linear LogSoftmax MLP MSELoss
        MaxPool2d Module MultiMarginLoss MultiheadAttention NLLLoss Parameter RNN ReLU Residual Sequential SiLU
        Sigmoid Softmax Softplus Tanh Unflatten Upsample activations build describe feature_maps functional init
    """,
    "tinygrad_mnist.nn.functional": """
        adaptive_avg_pool2d avg_pool2d batch_norm binary_cross_entropy binary_cross_entropy_with_logits
        conv1d conv2d conv_transpose2d cosine_similarity cross_entropy dropout elu embedding erf fold
        gelu group_norm hinge_loss huber_loss interpolate kl_div l1_loss layer_norm leaky_relu linear
        log_softmax logit logsumexp max_pool2d mse_loss multi_margin_loss nll_loss one_hot relu
        scaled_dot_product_attention sigmoid silu softmax softplus unfold
    """,
    "tinygrad_mnist.nn.init": """
        INITIALISERS book_normal constant fan_in_uniform get kaiming_normal kaiming_uniform lecun_normal
        lecun_uniform normal orthogonal standard_normal truncated_normal uniform xavier_normal
        xavier_uniform
    """,
    "tinygrad_mnist.optim": """
        Adagrad Adam AdamW CosineAnnealingLR ExponentialMovingAverage LBFGS LambdaLR OneCycleLR
        Optimizer RMSprop ReduceLROnPlateau SGD Schedule SparseAdam StepLR WarmupLR clip_grad_norm_
        clip_grad_value_
    """,
    "tinygrad_mnist.primitive": """
        Composite Primitive REGISTRY Sample as_plain composites constant elementwise identity implements
        operation pack pick primitive primitives
    """,
    "tinygrad_mnist.tensor": """
        Tensor buffer certainly forbid_writes is_known part_of possibly qualified record refuse tensor unshared
    """,
    "tinygrad_mnist.testing": "check_graph check_parameter gradcheck numerical_gradient",
    "tinygrad_mnist.training": """
        AverageWeights Callback Checkpoint Doctor EarlyStopping Finding History Progress TensorBoard Training
        TrainingStep accuracy confusion_matrix diagnose evaluate fit load_model lr_find predict save_model
        save_run
    """,
    "tinygrad_mnist.training.doctor": "Doctor FAULTS Finding RangeTest check_history check_losses diagnose lr_find",
    "tinygrad_mnist.transforms": "grad hessian hvp jacobian jvp value_and_grad vjp",
    "tinygrad_mnist.typing": "Array ArrayT NDArray",
    "tinygrad_mnist.viz": """
        StepThrough browse draw_graph plot_confusion plot_feature_maps plot_history plot_images plot_lines
        plot_mistakes plot_plane plot_prediction plot_scatter plot_weights render_graph
        save_animation step_through
    """,
    "tinygrad_mnist.viz.figures": "DPI array as_png finish library new_figure tidy",
}


@pytest.mark.parametrize("module", NAMES)
def test_the_public_names(module):
    names = NAMES[module].split()
    found = importlib.import_module(module)
    assert sorted(found.__all__) == names
    assert [name for name in names if not hasattr(found, name)] == []


ROOMS = "nn optim data training viz testing transforms experiments"


@pytest.mark.parametrize("room", ROOMS.split())
def test_completion_offers_the_public_names_only(room):
    assert dir(importlib.import_module(f"tinygrad_mnist.{room}")) == sorted(
        NAMES[f"tinygrad_mnist.{room}"].split()
    )
