"""What a site wants of the images that it runs. Each refusal names its rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePolicy:
    """The rules; as it stands here, everything may run."""

    registries: tuple[str, ...] = ()  # hosts, or beginnings of names such as "registry.example/eo"; none: any
    local: bool = True  # build contexts, and images that exist on one engine only
    pinned: bool = False  # whoever registers names a digest; a tag alone is not looked up
    max_size_mib: int | None = None  # as a registry keeps it, compressed
    root: bool = True  # images whose configuration gives no number of a user, or root's
    labels: tuple[str, ...] = ()  # that an image has to have
    signers: tuple[
        str, ...
    ] = ()  # fingerprints of keys, one of which has to have signed it; none: no signature is asked for

    @property
    def of_names(self) -> ImagePolicy:
        """The rules that hold before a registry is asked, which may be anybody's."""
        return replace(self, max_size_mib=None, root=True, labels=(), signers=())

    @property
    def asks(self) -> bool:
        """True where a registry has to be asked."""
        return self.max_size_mib is not None or not self.root or bool(self.labels or self.signers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What the rules look at; None where nobody knows."""

    name: str | None  # host and repository; None for what is not in a registry
    by_digest: bool = True
    size: int | None = None  # bytes
    runs_as: str | None = None
    labels: Mapping[str, str] | None = None
    signed_by: str | None = None
    elsewhere: bool = False  # another place is named beside its registry: an engine's own image, or a build context


def find_violations(policy: ImagePolicy, subject: Subject) -> list[str]:
    """Why the image may not run here, a sentence a rule."""
    if subject.name is None:
        return [] if policy.local else ["policy local: only images of a registry are taken here"]
    return [f"policy {rule}: {message}" for rule, message in _check_registry_image(policy, subject, subject.name)]


def _check_registry_image(policy: ImagePolicy, subject: Subject, name: str) -> Iterator[tuple[str, str]]:
    if policy.registries and not any(name == place or name.startswith(f"{place}/") for place in policy.registries):
        yield "registries", f"{name} is in none that is allowed here: {', '.join(policy.registries)}"
    if subject.elsewhere and (policy.asks or policy.pinned or not policy.local):
        yield (
            "local",
            "what another place beside its registry holds cannot be held against the other rules: name the registry only",
        )
    if policy.pinned and not subject.by_digest:
        yield "pinned", "the reference must name a digest: REPOSITORY@sha256:..."
    if policy.max_size_mib is not None:
        if subject.size is None:
            yield "max_size", _unknown("size")
        elif subject.size > policy.max_size_mib * MIB:
            yield "max_size", f"it has {subject.size / MIB:,.0f} MiB, at most {policy.max_size_mib:,} MiB are allowed"
    if not policy.root:
        if subject.runs_as is None:
            yield "root", _unknown("user")
        elif not _is_number_above_0(subject.runs_as.partition(":")[0]):
            yield (
                "root",
                "it runs as root, or as somebody whom only its own files know: give a number in its Dockerfile (USER 10001)",
            )
    if policy.labels and subject.labels is None:
        yield "labels", _unknown("labels")
    elif missing := [label for label in policy.labels if label not in (subject.labels or {})]:
        yield "labels", f"it lacks {', '.join(missing)}"
    if policy.signers and subject.signed_by not in policy.signers:
        yield (
            "signed",
            "no signature by a key of this site was found: sign it (`cosign sign --key`), and register it again",
        )


def _is_number_above_0(user: str) -> bool:
    """False for names, too: what they mean is said by the image's own files."""
    return user.isascii() and user.isdecimal() and int(user) > 0


def _unknown(what: str) -> str:
    return f"its {what} is not known, for its registry has not been asked or did not answer: register it again"
