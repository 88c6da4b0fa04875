"""Results on disk: the folder of a run, JSON documents, atomic writes."""

from optbench.store.atomic import open_for_writing, storage_errors, sync_file, sync_folder, write_atomically
from optbench.store.checkpoints import Checkpoints, checkpoint_step, leave_out
from optbench.store.finished_runs import finished_run
from optbench.store.json_files import Document, read_json, read_records, unreadable, write_json
from optbench.store.links import make_folder
from optbench.store.places import check_study, results_root
from optbench.store.run_folder import REPLACED, RunFolder, State
from optbench.store.shapes import read_pruned, read_result, read_run, read_study

__all__ = [
    "REPLACED",
    "Checkpoints",
    "Document",
    "RunFolder",
    "State",
    "check_study",
    "checkpoint_step",
    "finished_run",
    "leave_out",
    "make_folder",
    "open_for_writing",
    "read_json",
    "read_pruned",
    "read_records",
    "read_result",
    "read_run",
    "read_study",
    "results_root",
    "storage_errors",
    "sync_file",
    "sync_folder",
    "unreadable",
    "write_atomically",
    "write_json",
]
