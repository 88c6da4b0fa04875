"""torch's operations on lists of tensors: one kernel for all tensors on CUDA.

torch documents these functions, but its type stubs do not export their names."""

import torch

copy_ = torch._foreach_copy_  # pyright: ignore[reportPrivateImportUsage]
lerp_ = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]
