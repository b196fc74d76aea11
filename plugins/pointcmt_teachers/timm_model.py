"""`timm`: any network of the timm collection on every view, and the maximum over the views. Views -> features (B, D).

timm needs torchvision, and torchvision a build that matches torch's: hence an extra, imported late.
"""

from typing import Any

from pointcmt_cli.api import PointCMTError, Teacher, missing_package, one_line
from pointcmt_teachers.multiview import MultiView, load_weights


def timm_model(
    *, model: str = "resnet18", weights: str | None = None, pretrained: bool = True
) -> Teacher:
    """Pooled features of `model`; `weights` is a local file, else `pretrained` fetches timm's own from its hub."""
    timm = _timm()
    try:
        network = timm.create_model(model, pretrained=pretrained and weights is None, num_classes=0)
    except Exception as error:
        raise PointCMTError(
            f"timm cannot make '{model}': {one_line(error)} (with no network: --weights FILE, or pretrained=false)"
        ) from error
    data = timm.data.resolve_model_data_config(network)
    if weights is not None:
        heads = network.pretrained_cfg.get("classifier") or "fc"
        names = (heads,) if isinstance(heads, str) else heads
        load_weights(network, weights, model, ignored=[f"{name}." for name in names])
    return MultiView(
        network,
        getattr(network, "head_hidden_size", network.num_features),
        data["mean"],
        data["std"],
        pretrained=pretrained or weights is not None,
    )


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ModuleNotFoundError as error:
        raise PointCMTError(missing_package("teacher 'timm'", str(error.name), "timm")) from error
    except Exception as error:  # torchvision of another build than torch raises RuntimeError
        raise PointCMTError(
            f"teacher 'timm': timm is installed but does not import: {one_line(error)}; "
            "torch and torchvision must be of one build (CPU or the same CUDA)"
        ) from error
    return timm
