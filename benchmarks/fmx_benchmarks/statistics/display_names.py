"""The names of models and machines in tables, reports and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_runtime.bench.result import LOCAL

if TYPE_CHECKING:
    from fmx_runtime.bench.result import Result, Run, Variant

__all__ = ["describe_failures", "machine_name", "model_kind", "model_title", "on_device"]

_FORMATS = {"keras": "Keras", "tflite": "TFLite", "onnx": "ONNX"}


def model_kind(variant: Variant) -> str:
    """Return the format and precision, for example ``TFLite int8``."""
    return f"{_FORMATS[variant.format]} {variant.precision}"


def model_title(variant: Variant, run: Run) -> str:
    """Return the model's kind, with its file's name if the run has several of that kind."""
    alike = sum(model_kind(one) == model_kind(variant) for one in run.variants)
    return model_kind(variant) if alike == 1 else f"{model_kind(variant)} {variant.name}"


def machine_name(run: Run) -> str:
    """Return the machine's board or processor, after the device's name if it is not local."""
    hardware = run.machine.board or f"{run.machine.processor}, {run.machine.architecture}"
    return hardware if run.device == LOCAL else f"{run.device} ({hardware})"


def on_device(run: Run) -> str:
    """Return `` on DEVICE``, to follow a model's name; nothing for the local machine."""
    return "" if run.device == LOCAL else f" on {run.device}"


def describe_failures(result: Result) -> tuple[str, ...]:
    """Return a sentence for each model or device that was not measured."""
    return tuple(
        f"{failure.name}{on_device(run)}: {failure.reason}"
        for run in result.runs
        for failure in run.failures
    )
