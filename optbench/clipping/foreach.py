"""torch's operations on lists of tensors: one kernel for all tensors on CUDA.

torch documents these functions, but its type stubs do not export their names."""

import torch

copy_ = torch._foreach_copy_  # pyright: ignore[reportPrivateImportUsage]
mul_ = torch._foreach_mul_  # pyright: ignore[reportPrivateImportUsage]
norm = torch._foreach_norm  # pyright: ignore[reportPrivateImportUsage]
