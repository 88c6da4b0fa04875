"""Are the user's files and code still those that a configuration was composed of? A sweep plans long before it runs."""

from __future__ import annotations

from dataclasses import replace

from optbench.config.content import with_content
from optbench.config.runconfig import Choice, RunConfig
from optbench.config.sources import with_source
from optbench.errors import ConfigError

SOURCE, CONTENT = "source_sha256", "content_sha256"
HASHES = (SOURCE, CONTENT)


def require_unchanged(config: RunConfig) -> None:
    """Raise ConfigError if the user's code or files have changed since the configuration got its id."""
    for group, choice in {**config.choices, **{modifier.name: modifier for modifier in config.modifiers}}.items():
        now = with_content(group, with_source(without_hashes(choice)), config.data_dir)
        changed = next((key for key in HASHES if now.about.get(key) not in (None, choice.about.get(key))), None)
        if changed is not None:
            what = choice.target if changed == SOURCE else ", ".join(now.about[changed])
            raise ConfigError(
                f"{group}: {what} changed after this run was planned",
                "Run the same command again: it plans runs of what is there now",
            )


def without_hashes(choice: Choice) -> Choice:
    """Return the choice as its file describes it."""
    return replace(choice, about={key: value for key, value in choice.about.items() if key not in HASHES})
