"""A large results folder for `optbench bench report`."""
