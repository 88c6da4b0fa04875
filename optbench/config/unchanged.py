"""Are the user's files and code still those that a configuration was composed of? A sweep plans long before it runs."""

from __future__ import annotations

from dataclasses import replace

from optbench.config.content import with_content
from optbench.config.initial_weights import init_content
from optbench.config.runconfig import Choice, RunConfig
from optbench.config.sources import with_source
from optbench.errors import ConfigError

SOURCE, CONTENT = "source_sha256", "content_sha256"
HASHES = (SOURCE, CONTENT)
AGAIN = "Run the same command again: it plans runs of what is there now"


def require_unchanged(config: RunConfig) -> None:
    """Raise ConfigError if the user's code or files have changed since the configuration got its id."""
    for group, choice in {**config.choices, **{modifier.name: modifier for modifier in config.modifiers}}.items():
        now = with_content(group, with_source(without_hashes(choice)), config.data_dir)
        changed = next((key for key in HASHES if now.about.get(key) not in (None, choice.about.get(key))), None)
        if changed is not None:
            what = choice.target if changed == SOURCE else ", ".join(now.about[changed])
            raise ConfigError(
                f"{group}: {what} changed after this run was planned",
                AGAIN,
            )
    if config.init_content is not None and init_content(str(config.init)) != config.init_content:
        raise ConfigError(f"init={config.init} changed after this run was planned", AGAIN)


def without_hashes(choice: Choice) -> Choice:
    """Return the choice as its file describes it."""
    return replace(choice, about={key: value for key, value in choice.about.items() if key not in HASHES})
