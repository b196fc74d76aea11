"""One layer on rows (..., C) -> (..., D): Linear, batch norm, LeakyReLU; what the newer point networks repeat."""

from torch import Tensor, nn

from pointcmt_cli.api import linear, normed_rows


class Layer(nn.Module):
    """`slope` of LeakyReLU's negative side: 0 is ReLU, 1 no activation."""

    def __init__(self, channels: int, width: int, slope: float = 0.0, bias: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, width, bias=bias)
        self.norm = nn.BatchNorm1d(width)
        self.slope = slope

    def forward(self, rows: Tensor, added: Tensor | None = None) -> Tensor:
        """Rows (..., C) -> (..., D); `added` (..., D) goes in between norm and activation."""
        return normed_rows(
            linear(rows, self.linear.weight, self.linear.bias), self.norm, self.slope, added
        )


def names_of(own: str, linear: str, norm: str) -> dict[str, str]:
    """`reference_names` of one layer."""
    return {f"{own}.linear": linear, f"{own}.norm": norm}
