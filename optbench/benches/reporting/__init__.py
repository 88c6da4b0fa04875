"""A large results folder to make a report of."""
