"""The one array type of the contracts."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
