"""The image catalogue's rules: what a registration becomes, and who may bring a version into another state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from api.image_gate import tell_unknown, to_name
from api.image_schemas import ImageDocument, OwnershipDocument
from api.images import Registration, to_registration
from api.registered import describe
from api.signatures import find_signer
from swath.domain.catalogue import ImageState, Mover
from swath.domain.comparison import compare_layers, compare_packages, find_differences
from swath.domain.errors import ForbiddenError, InvalidInputError, NotFoundError, Problem
from swath.domain.image_policy import ImagePolicy, Subject, find_violations
from swath.domain.rights import Caller, TokenScope
from swath.domain.sbom import read_packages
from swath.registry.client import RegistryClient
from swath.store.api_store import ApiStore
from swath.store.rows import CataloguedRow, DetailsRow, ImageRow

if TYPE_CHECKING:
    from swath.vault.signatures import Key


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """What the service does with images beyond storing them."""

    store: ApiStore
    registries: RegistryClient
    policy: ImagePolicy
    automatic: bool  # what somebody registers by hand is active at once
    signers: Mapping[str, Key]  # public keys that sign images here, by fingerprint
    approvers: tuple[str, ...]  # users who bring versions into any state; none for everybody
    now: Callable[[], datetime]

    def register(self, document: ImageDocument, *, caller: Caller) -> ImageRow:
        """Add the version of a document. Raises InvalidInputError with everything that is wrong, policy included.

        What a registry says of the image counts. What a token registers has to be verified first, whatever people may do by
        hand.
        """
        self._check_policy(self.policy.of_names, document, DetailsRow())
        described, found = describe(document, self.registries, always=self.policy.asks)
        registration = to_registration(described)
        caller.check_image(registration.name)
        details = _to_details(described, found, caller.user)
        if self.signers and registration.reference is not None:
            signer = find_signer(self.registries, registration.reference, self.signers)
            details = replace(details, signed_by=signer)
        self._check_policy(self.policy, document, details)
        if caller.scope is TokenScope.NOTIFY:
            self._check_home(registration)
        by_hand = caller.scope is None
        if by_hand:
            self._check_owner(registration.name, caller.user)
        return self.store.register_image(
            **asdict(registration),
            state=ImageState.ACTIVE if self.automatic and by_hand else ImageState.REGISTERED,
            details=details,
            user=caller.user,
            why="registered by hand" if by_hand else f"registered with a token for {caller.scope}",
            now=self.now(),
        )

    def move(self, row: CataloguedRow, after: ImageState, *, user: str, why: str) -> CataloguedRow:
        """Bring a version into another state for a user."""
        mover = self._to_mover(row.image.name, row.owner, user)
        self.store.move_image(row.image.id, after, mover=mover, user=user, why=why, now=self.now())
        return self.store.get_catalogued(row.image.id)

    def own(self, row: CataloguedRow, document: OwnershipDocument, *, user: str) -> CataloguedRow:
        """Say whose an image is, and which projects may run it."""
        self._to_mover(row.image.name, row.owner, user)
        self.store.put_image(row.image.name, owner=document.owner, projects=document.projects)
        return self.store.get_catalogued(row.image.id)

    def find(self, reference: str) -> CataloguedRow:
        """The version that a reference means, whatever its state; raises NotFoundError."""
        image = self.store.find_image(reference)
        if image is None:
            raise NotFoundError(tell_unknown(reference, self.store))
        return self.store.get_catalogued(image.id)

    def _check_policy(self, policy: ImagePolicy, document: ImageDocument, details: DetailsRow) -> None:
        reference = document.reference
        subject = Subject(
            name=to_name(reference) if reference else None,
            by_digest=reference is not None and "@" in reference,
            size=details.size,
            runs_as=details.runs_as,
            labels=details.labels,
            signed_by=details.signed_by,
            elsewhere=reference is not None and bool(document.image_id or document.context),
        )
        place = "/reference" if reference else "/image_id" if document.image_id else "/context"
        if found := find_violations(policy, subject):
            raise InvalidInputError(Problem(place, message) for message in found)

    def _check_home(self, registration: Registration) -> None:
        """A registry's word goes for images that come from the same repository: a label may say the name of any other."""
        homes = {to_name(reference) for reference in self.store.list_references(registration.name)}
        here = to_name(registration.reference) if registration.reference else None
        if homes and here not in homes:
            raise ForbiddenError(
                f"{registration.name} comes from {', '.join(sorted(homes))}, and not from {here}: "
                "whoever owns it registers it from there by hand, once"
            )

    def _check_owner(self, name: str, user: str) -> None:
        image = self.store.find_image(name)
        if image is not None:
            self._to_mover(name, self.store.get_catalogued(image.id).owner, user)

    def _to_mover(self, name: str, owner: str | None, user: str) -> Mover:
        """As whom the user changes the image; raises ForbiddenError for somebody else's."""
        if not self.approvers or user in self.approvers:
            return Mover.APPROVER
        if owner in (None, user):
            return Mover.OWNER
        raise ForbiddenError(f"the image {name} is {owner}'s; approvers are {', '.join(self.approvers)}")


def _to_details(document: ImageDocument, found: DetailsRow, user: str) -> DetailsRow:
    """What is known of a version beyond its manifest; raises InvalidInputError for a bill of materials that is none."""
    try:
        packages = None if document.sbom is None else read_packages(document.sbom)
    except InvalidInputError as error:
        raise InvalidInputError(Problem(f"/sbom{entry.path}", entry.message) for entry in error.problems) from error
    provenance = document.provenance.model_dump(exclude_none=True)
    return replace(found, provenance=provenance or None, packages=packages, pushed_by=user)


def compare(before: CataloguedRow, after: CataloguedRow) -> dict[str, Any]:
    """What differs between two versions; parts of which nothing is known of one are None."""
    old, new = before.details, after.details
    differences = find_differences(_to_document(before.image), _to_document(after.image))
    return {
        "before": _name(before.image),
        "after": _name(after.image),
        "manifest": [{"path": path, "before": a, "after": b} for path, a, b in differences],
        "size": {"before": old.size, "after": new.size},
        "layers": None if old.layers is None or new.layers is None else compare_layers(old.layers, new.layers),
        "packages": None
        if old.packages is None or new.packages is None
        else compare_packages(old.packages, new.packages),
    }


def _to_document(image: ImageRow) -> Mapping[str, Any]:
    return {**image.manifest, "swath": dict(image.swath_manifest or {})}


def _name(image: ImageRow) -> str:
    return f"{image}@{image.digest}"
