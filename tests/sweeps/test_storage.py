"""`--storage URL`: a study mirrored in an Optuna database, and storages that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench.errors import ConfigError, MissingError
from optbench.sweeps.display.optuna_mirror import FILE
from optbench.sweeps.display.optuna_storage import check_storage, without_password
from optbench.sweeps.search.optuna_tools import quietly

optuna = pytest.importorskip("optuna")
ASKED = ("optimizer=adamw", "model=quadratic", "steps=20", "threads=1", "tracker=none", "--jobs", "2")
PASSWORD = "s3cr3t-word"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # SQLAlchemy's pool keeps a connection of sqlite
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_studies_of_two_results_folders_in_one_database(call, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'all.db'}"
    for name in ("one", "two"):
        words = ("sweep", *ASKED, "--trials", 2, "--seeds", 0, "--study", name, "--storage", url, "--quiet")
        code, _, err = call(*words, "--results-dir", tmp_path / name)
        assert code == 0, err
        assert not (tmp_path / name / name / FILE).exists()
    with quietly():
        studies = optuna.get_all_study_summaries(url)
    assert sorted(study.study_name for study in studies) == ["one/adamw", "two/adamw"]
    assert [study.n_trials for study in studies] == [2, 2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_study_of_another_folder_is_not_overwritten(call, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'all.db'}"
    words = ("sweep", *ASKED, "--trials", 2, "--seeds", 0, "--study", "same", "--storage", url, "--quiet")
    for _ in range(2):  # the second time it is its own
        code, _, err = call(*words, "--results-dir", tmp_path / "one")
        assert code == 0, err
    code, _, err = call(*words, "--results-dir", tmp_path / "two")
    assert code == 2
    assert "study same of another results folder would be overwritten" in err
    assert not (tmp_path / "two" / "same").exists()
    code, _, err = call(*words, "--results-dir", tmp_path / "two", "--study", "other")
    assert code == 0, err


def test_a_storage_must_be_a_url() -> None:
    check_storage("")
    with pytest.raises(ConfigError, match="--storage everything: expected a URL"):
        check_storage("everything")


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg2://me:{PASSWORD}@127.0.0.1:1/db",
        f"mysql+pymysql://me:{PASSWORD}@127.0.0.1:1/db",
        f"nonesuch://me:{PASSWORD}@host/db",
        "sqlite:////no/such/folder/all.db",
    ],
)
def test_an_unreachable_storage_is_one_message_without_the_password(call, tmp_path: Path, url: str) -> None:
    with pytest.raises(MissingError) as caught:
        check_storage(url)
    assert caught.value.args[0].startswith(f"--storage {without_password(url)} ")
    code, out, err = call("sweep", *ASKED, "--storage", url, "--results-dir", tmp_path / "r", "--json")
    assert code == 4
    assert PASSWORD not in out + err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("r/*/*/result.json"))


def test_a_password_with_an_at_sign() -> None:
    assert without_password("mysql://me:a@b:c@host/db") == "mysql://me:***@host/db"
    assert without_password("sqlite:///all.db") == "sqlite:///all.db"
