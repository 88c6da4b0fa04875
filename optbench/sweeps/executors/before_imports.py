"""The first import of a sweep's fork server. Garbage collections free nothing while packages are imported, and take a
sixth of the time; the last import, sessions/before_fork.py, turns them on again."""

import gc

gc.disable()
