"""Parts of `optbench bench step`."""
