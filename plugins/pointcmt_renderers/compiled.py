"""numba's njit with a cache on disk, as every kernel of the project is compiled."""

from pointcmt_cli.api import compiled as compiled
