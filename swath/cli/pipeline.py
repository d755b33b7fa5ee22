"""Which pipeline of which forge this runs in, by the variables that it sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """Where an image comes from."""

    revision: str | None = None  # of git
    source: str | None = None  # address of the repository
    pipeline: str | None = None  # address of the run that pushed it

    def to_document(self) -> dict[str, str]:
        """What is known, as the catalogue takes it."""
        said = {"revision": self.revision, "source": self.source, "pipeline": self.pipeline}
        return {name: value for name, value in said.items() if value}


def find_pipeline(environ: Mapping[str, str]) -> Pipeline:
    """GitHub's, GitLab's, or none.

    docs.github.com/actions/reference/workflows-and-actions/variables, docs.gitlab.com/ci/variables/predefined_variables
    """
    if environ.get("GITHUB_ACTIONS") == "true":
        source = f"{environ.get('GITHUB_SERVER_URL', '')}/{environ.get('GITHUB_REPOSITORY', '')}"
        run = environ.get("GITHUB_RUN_ID")
        return Pipeline(
            revision=environ.get("GITHUB_SHA"), source=source, pipeline=run and f"{source}/actions/runs/{run}"
        )
    if environ.get("GITLAB_CI") == "true":
        return Pipeline(
            revision=environ.get("CI_COMMIT_SHA"),
            source=environ.get("CI_PROJECT_URL"),
            pipeline=environ.get("CI_PIPELINE_URL"),
        )
    return Pipeline()
