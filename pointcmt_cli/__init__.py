"""pointcmt: point-cloud classifiers taught by images (PointCMT, NeurIPS 2022, arXiv 2210.04208)."""

__version__ = "0.1.0"
