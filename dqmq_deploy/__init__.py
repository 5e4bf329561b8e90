"""Image classifiers whose precision follows the quality of each image.

from dqmq_deploy import Bundle, Dispatcher

dispatcher = Dispatcher(Bundle.open("signs.dqmq"))
print(dispatcher("photo.jpg").label)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dqmq_deploy.bundle.read import Bundle
    from dqmq_deploy.kernels import op_library_path
    from dqmq_deploy.runtime.dispatcher import Dispatcher
    from dqmq_deploy.runtime.prediction import Prediction

__version__ = "0.1.0"

__all__ = ["Bundle", "Dispatcher", "Prediction", "__version__", "op_library_path"]

_HOMES = {
    "Bundle": "dqmq_deploy.bundle.read",
    "Dispatcher": "dqmq_deploy.runtime.dispatcher",
    "Prediction": "dqmq_deploy.runtime.prediction",
    "op_library_path": "dqmq_deploy.kernels",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that a command that only prints help does not load onnxruntime.
    if name not in _HOMES:
        raise AttributeError(f"module 'dqmq_deploy' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
