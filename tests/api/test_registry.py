"""Images of a real registry in the catalogue: registered by their labels, by the registry's own word, and watched."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.lookout import Lookout
from swath.domain.manifest import LABEL, SWATH_LABEL
from swath.registry.client import RegistryClient
from swath.registry.manifests import MANIFESTS
from swath.registry.settings import RegistrySettings
from swath.store.database import Database
from swath.store.sighting_store import SightingStore
from tests.api.serving import MANIFEST, Api, declare, make_settings, serving
from tests.api.test_tokens import asking, make
from tests.fixtures.laptop import eventually
from tests.fixtures.registry import free_port, serve_registry
from tests.registry.hostile import HostileServer
from tests.registry.pushing import Image, Pusher, an_image
from tests.store.build import NOW, Scene

SMOKE = {"smoke_test": ["ndvi", "--self-test"]}


def a_processing_image(version: str = "2.0.0", name: str = "ndvi", content: bytes = b"layer", **labels: str) -> Image:
    """An image whose labels hold its manifests."""
    manifest = {**MANIFEST, "job": {**MANIFEST["job"], "name": name, "jobVersion": version}}
    said = {LABEL: json.dumps(manifest), SWATH_LABEL: json.dumps(SMOKE), **labels}
    return an_image(labels=said, layers=(content,), user="10001")


@dataclass
class Site:
    """A service that knows a registry, and who pushes to that."""

    api: Api
    registry: str  # host:port
    pusher: Pusher
    folder: Path
    database_url: str

    def lookout(self) -> Lookout:
        """Another one on the same database, that looks when a test says so."""
        database = Database(self.database_url)
        client = RegistryClient({self.registry: RegistrySettings()}, wait=lambda pause: None)
        store = SightingStore(database)
        return Lookout(store, client, None, every_s=1.0, now=lambda: NOW)  # type: ignore[arg-type]


def a_site(folder: Path, database_url: str, port: int) -> Iterator[Site]:
    """The service first: a registry may be told where it is."""
    address = f"127.0.0.1:{port}"
    settings = make_settings(folder, database_url, registries=declare(folder, address), registry_check_s=0)
    with serving(settings) as api:
        yield Site(api, address, Pusher(f"http://{address}"), folder, database_url)


@pytest.fixture
def site(scene: Scene, sqlite_database: str, tmp_path: Path) -> Iterator[Site]:
    """A service and its registry."""
    port = free_port()
    with serve_registry(tmp_path / "registry", port=port):
        yield from a_site(tmp_path, sqlite_database, port)


def test_an_image_is_registered_by_its_reference_alone(site: Site) -> None:
    """Its labels say what it is; digest, size, layers, user and platform come from the registry."""
    image = a_processing_image(**{"org.opencontainers.image.revision": "abc"})
    digest = site.pusher.push("eo/ndvi", image, "2.0.0")
    answer = site.api.post("/v1/images", json={"reference": f"{site.registry}/eo/ndvi:2.0.0"})
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert (found["name"], found["version"], found["state"]) == ("ndvi", "2.0.0", "ACTIVE")
    assert (found["digest"], found["reference"]) == (digest, f"{site.registry}/eo/ndvi@{digest}")
    assert (found["tag"], found["tag_digest"]) == (f"{site.registry}/eo/ndvi:2.0.0", digest)
    assert (found["size"], found["platform"], found["runs_as"]) == (sum(map(len, image.blobs)), "linux/amd64", "10001")
    assert [layer["size"] for layer in found["layers"]] == [5]
    assert (found["swath_manifest"], found["provenance"]) == (SMOKE, {"revision": "abc"})


@pytest.mark.parametrize(
    ("labels", "place", "complaint"),
    [
        ({}, "/manifest", "the image has no label com.ngageoint.seed.manifest"),
        ({LABEL: "{"}, "/manifest", "is no JSON"),
        ({LABEL: "[]"}, "/manifest", "is no JSON object"),
        ({LABEL: '{"seedVersion": "9"}'}, "/manifest/seedVersion", "1.0.0"),
        ({LABEL: json.dumps(MANIFEST), SWATH_LABEL: '{"smoke_test": []}'}, "/swath_manifest/smoke_test", "empty"),
    ],
)
def test_labels_that_say_nothing_are_refused(site: Site, labels: dict[str, str], place: str, complaint: str) -> None:
    """With the place in the manifest."""
    site.pusher.push("eo/strange", an_image(labels=labels), "1")
    assert complaint in site.api.refusal({"reference": f"{site.registry}/eo/strange:1"}, "/v1/images")[place]


def test_a_manifest_beside_the_label_has_to_be_the_same(site: Site) -> None:
    """Whoever sends another one would have the catalogue say what the image does not."""
    site.pusher.push("eo/ndvi", a_processing_image(), "1")
    document = {"reference": f"{site.registry}/eo/ndvi:1", "manifest": MANIFEST}
    assert "is another than the image's own" in site.api.refusal(document, "/v1/images")["/manifest"]


def test_a_registry_that_the_site_does_not_allow_is_not_even_asked(
    scene: Scene, sqlite_database: str, tmp_path: Path
) -> None:
    """The rule is named; and a tag is refused where digests are asked for, though it could be resolved."""
    rules: dict[str, dict[str, Any]] = {
        "registries": {"image_registries": ("registry.example",)},
        "pinned": {"image_pinned": True},
    }
    with HostileServer() as server:
        document = {"reference": f"{server.host}/eo/ndvi:1"}
        for rule, settings in rules.items():
            with serving(make_settings(tmp_path, sqlite_database, **settings)) as api:
                assert f"policy {rule}: " in api.refusal(document, "/v1/images")["/reference"]
        assert server.heard == []


def test_the_policy_looks_at_what_the_registry_says(scene: Scene, sqlite_database: str, tmp_path: Path) -> None:
    """User, size and labels are the image's own, whatever the document says beside its reference."""
    with serve_registry(tmp_path / "registry") as address:
        image = an_image(labels={LABEL: json.dumps(MANIFEST)})
        digest = Pusher(f"http://{address}").push("eo/ndvi", image, "1")
        document = {"reference": f"{address}/eo/ndvi@{digest}", "manifest": MANIFEST}
        known = declare(tmp_path, address)
        with serving(make_settings(tmp_path, sqlite_database, registries=known, image_root=False)) as api:
            assert "it runs as root" in api.refusal(document, "/v1/images")["/reference"]
        with serving(make_settings(tmp_path, sqlite_database, registries=known, image_labels=("team",))) as api:
            assert "it lacks team" in api.refusal(document, "/v1/images")["/reference"]
        with serving(make_settings(tmp_path, sqlite_database, registries=known, image_max_size_mib=1)) as api:
            assert api.post("/v1/images", json=document).status_code == 201


def test_what_the_registry_does_not_have_is_refused(site: Site) -> None:
    """422 with the registry's word."""
    gone = f"{site.registry}/eo/ndvi@sha256:{'0' * 64}"
    assert "does not have" in site.api.refusal({"reference": gone}, "/v1/images")["/reference"]


def test_a_registry_that_is_down_is_no_mistake_of_the_document(
    scene: Scene, sqlite_database: str, tmp_path: Path
) -> None:
    """503: it may be asked again."""
    address = f"127.0.0.1:{free_port()}"
    with serving(make_settings(tmp_path, sqlite_database, registries=declare(tmp_path, address))) as api:
        down = api.post("/v1/images", json={"reference": f"{address}/eo/ndvi:1"})
    assert (down.status_code, down.json()["type"]) == (503, "urn:swath:problem:registry-unavailable")


def test_a_token_for_ci_has_the_service_ask_no_machine_of_its_own_network(site: Site) -> None:
    """A host that nobody declared and that is not public hears nothing; the refusal says how to declare it."""
    with HostileServer() as server, asking(site.api, make(site.api)["token"]) as http:
        for host in (server.host, f"localhost:{server.port}", "169.254.169.254", "10.0.0.1:5051"):
            answer = http.post("/v1/images", json={"reference": f"{host}/eo/ndvi:1"})
            assert (answer.status_code, answer.json()["type"]) == (502, "urn:swath:problem:registry-refused")
            assert "give it a table in the file of SWATH_REGISTRIES" in answer.json()["detail"]
        assert server.heard == []


def test_an_image_that_claims_to_be_another_is_refused_to_a_token(site: Site) -> None:
    """The label names the image, not the repository: a token for `ndvi` registers nothing that says `secret`."""
    site.pusher.push("eo/ndvi", a_processing_image(name="secret"), "1")
    with asking(site.api, make(site.api)["token"]) as http:
        answer = http.post("/v1/images", json={"reference": f"{site.registry}/eo/ndvi:1"})
    assert answer.status_code == 403
    assert "is for ndvi, not for secret" in answer.json()["detail"]


def test_what_a_token_registers_is_verified_first(site: Site) -> None:
    """Not active, and a job of it is refused, until its trial has passed; the trial begins at once."""
    site.pusher.push("eo/ndvi", a_processing_image(), "1")
    with asking(site.api, make(site.api, project="forest")["token"]) as http:
        made = http.post("/v1/images", json={"reference": f"{site.registry}/eo/ndvi:1"}).json()
        assert made["state"] == "VERIFYING"
        shown = http.get(f"/v1/images/ndvi/2.0.0/verification?digest={made['digest']}").json()
    assert site.api.get(f"/v1/jobs/{shown['job']}").json()["project"] == "forest"
    assert "runs once it has been verified" in site.api.refusal({"image": "ndvi:2.0.0"})["/image"]


def test_a_tag_that_moved_and_a_digest_that_is_gone_are_noticed(site: Site) -> None:
    """And noticed again when they are back; a registry that is silent changes nothing."""
    reference = f"{site.registry}/eo/ndvi:1"
    first = site.pusher.push("eo/ndvi", a_processing_image(), "1")
    site.api.post("/v1/images", json={"reference": reference})
    second = site.pusher.push("eo/ndvi", a_processing_image(content=b"another"), "1")
    lookout = site.lookout()
    assert lookout.look() == 1.0
    shown = site.api.get("/v1/images/ndvi/2.0.0").json()
    assert (shown["digest"], shown["tag_digest"], shown["missing_since"]) == (first, second, None)
    site.pusher.delete("eo/ndvi", first)
    lookout.look()
    assert site.api.get("/v1/images/ndvi/2.0.0").json()["missing_since"] == "2026-01-01T12:00:00.000Z"
    site.pusher.push("eo/ndvi", a_processing_image())
    lookout.look()
    assert site.api.get("/v1/images/ndvi/2.0.0").json()["missing_since"] is None


@pytest.fixture
def telling(scene: Scene, sqlite_database: str, tmp_path: Path) -> Iterator[Site]:
    """A service and a registry that tells it what happens, with a token for that."""
    port = free_port()
    sites = a_site(tmp_path, sqlite_database, port)
    site = next(sites)
    token = make(site.api, "registry", scope="notify", images=[], user="registry")["token"]
    endpoint = {
        "name": "swath",
        "url": f"{site.api.url}/v1/registry/notifications",
        "headers": {"Authorization": [f"Bearer {token}"]},
        "timeout": "30s",
        "threshold": 3,
        "backoff": "200ms",
    }
    with serve_registry(tmp_path / "registry", {"notifications": {"endpoints": [endpoint]}}, port=port):
        yield site
    next(sites, None)


def test_a_registry_registers_what_is_pushed_to_it(telling: Site) -> None:
    """By its webhook, for real: the version is there, tagged, and about to be verified; other pushes do not hold it up."""
    telling.pusher.push("eo/other", an_image(layers=(b"no processing image",)), "1")
    digest = telling.pusher.push("eo/ndvi", a_processing_image(), "2.0.0")
    shown = eventually(lambda: found(telling, "2.0.0"), 20)
    assert (shown["digest"], shown["tag"]) == (digest, f"{telling.registry}/eo/ndvi:2.0.0")
    assert (shown["pushed_by"], shown["state"] in ("REGISTERED", "VERIFYING")) == ("registry", True)
    history = telling.api.get("/v1/images/ndvi/2.0.0/transitions").json()["items"]
    assert history[0]["why"] == "registered with a token for notify"


def test_a_registry_tells_that_a_tag_moved_and_that_a_digest_is_gone(telling: Site) -> None:
    """The version of before shows both."""
    first = telling.pusher.push("eo/ndvi", a_processing_image(), "1")
    eventually(lambda: found(telling, "2.0.0"), 20)
    second = telling.pusher.push("eo/ndvi", a_processing_image(content=b"another"), "1")
    path = f"/v1/images/ndvi/2.0.0?digest={first}"
    eventually(lambda: telling.api.get(path).json()["tag_digest"] == second, 20)
    telling.pusher.delete("eo/ndvi", first)
    eventually(lambda: telling.api.get(path).json()["missing_since"], 20)


def test_what_happens_while_the_service_is_down_is_told_later(telling: Site, tmp_path: Path) -> None:
    """The registry sends it again: what it was not thanked for is not lost."""
    telling.api.server.should_exit = True
    port = int(telling.api.url.rpartition(":")[2])
    while telling.api.server.servers and telling.api.server.servers[0].is_serving():
        threading.Event().wait(0.02)
    telling.pusher.push("eo/ndvi", a_processing_image(), "2.0.0")
    settings = make_settings(
        tmp_path, telling.database_url, registries=tmp_path / "registries.toml", registry_check_s=0
    )
    with serving(settings, port=port) as again:
        eventually(lambda: again.get("/v1/images/ndvi/2.0.0").status_code == 200, 30)


def found(site: Site, version: str) -> dict[str, Any] | None:
    """The version, once it is there."""
    answer = site.api.get(f"/v1/images/ndvi/{version}")
    return answer.json() if answer.status_code == 200 else None


def an_event(host: str, digest: str, **changed: Any) -> dict[str, Any]:
    """A push, as a registry tells it."""
    target = {"mediaType": MANIFESTS[0], "digest": digest, "repository": "eo/ndvi", "tag": "1", **changed}
    return {"events": [{"action": "push", "target": target, "request": {"host": host}}]}


def test_a_notification_said_twice_changes_nothing(site: Site) -> None:
    """One version with one line of history."""
    digest = site.pusher.push("eo/ndvi", a_processing_image(), "1")
    with notifying(site) as http:
        for _ in range(2):
            answer = http.post("/v1/registry/notifications", json=an_event(site.registry, digest))
            assert answer.json() == {"registered": ["ndvi:2.0.0"], "refused": [], "passed_by": 0}
    history = site.api.get("/v1/images/ndvi/2.0.0/transitions").json()["items"]
    assert [entry["before"] for entry in history].count(None) == 1


def test_no_event_blocks_the_others_of_a_notification(site: Site) -> None:
    """Not a name that is none, a size that lies, a label that no database holds: each is refused, and the last registered."""
    manifest = {**MANIFEST, "job": {**MANIFEST["job"], "jobVersion": "2.0.0"}}
    titled = {title: {**manifest, "job": {**manifest["job"], "title": title}} for title in ("a\0b", "a\ud800b")}
    bad = [an_image(labels={LABEL: json.dumps(document)}) for document in titled.values()]
    lying = a_processing_image("3.0.0")
    size = len(lying.blobs[0])
    bad.append(replace(lying, manifest=lying.manifest.replace(f'"size": {size}'.encode(), b'"size": %d' % (size + 9))))
    digests = [site.pusher.push("eo/ndvi", image, str(index)) for index, image in enumerate(bad)]
    events = [an_event(site.registry, digests[0], repository="n" * 250, tag="t" * 128)]
    events += [an_event(site.registry, digest, tag=str(index)) for index, digest in enumerate(digests)]
    long = f"eo/{'n' * 180}"
    good = site.pusher.push(long, a_processing_image(), "t" * 100)
    events.append(an_event(site.registry, good, repository=long, tag="t" * 100))
    with notifying(site) as http:
        answer = http.post(
            "/v1/registry/notifications", json={"events": [entry for event in events for entry in event["events"]]}
        )
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["registered"], found["passed_by"]) == (["ndvi:2.0.0"], 1)
    nul, half, size_ = (entry["why"] for entry in found["refused"])
    assert nul == "/manifest/job/title: contains a NUL"
    assert half == "/manifest/job/title: contains half of a surrogate pair"
    assert f"has {size} bytes, and what names it says {size + 9}" in size_


def test_a_registry_that_is_silent_does_not_hold_up_what_another_says(site: Site) -> None:
    """503, so that its event comes again; what stands behind that is registered by then."""
    down = f"127.0.0.1:{free_port()}"
    digest = site.pusher.push("eo/ndvi", a_processing_image(), "1")
    events = [*an_event(down, digest)["events"], *an_event(site.registry, digest)["events"]]
    known = declare(site.folder, site.registry, down)
    settings = make_settings(site.folder, site.database_url, registries=known, registry_check_s=0)
    with serving(settings) as api, asking(api, make(api, "other", scope="notify", images=[])["token"]) as http:
        assert http.post("/v1/registry/notifications", json={"events": events}).status_code == 503
    assert found(site, "2.0.0") is not None


def test_a_pushed_image_does_not_become_another_by_its_label(site: Site) -> None:
    """What calls itself `ndvi` and lies in another repository of the same registry is refused, whoever may push there."""
    mine = site.pusher.push("eo/ndvi", a_processing_image(), "1")
    theirs = site.pusher.push("mallory/x", a_processing_image("99.0.0"), "1")
    with notifying(site) as http:
        assert http.post("/v1/registry/notifications", json=an_event(site.registry, mine)).json()["refused"] == []
        forged = an_event(site.registry, theirs, repository="mallory/x")
        assert "not from" in http.post("/v1/registry/notifications", json=forged).json()["refused"][0]["why"]
    assert found(site, "99.0.0") is None


def test_a_name_that_a_stranger_took_first_is_given_back_by_hand(site: Site) -> None:
    """The first push of a free name is its home; what was retired is none beside another that somebody registered."""
    theirs = [site.pusher.push("mallory/x", a_processing_image(version, "free"), "1") for version in ("1.0.0", "9.0.0")]
    mine = site.pusher.push("eo/free", a_processing_image("2.0.0", "free"), "1")
    forged = [an_event(site.registry, digest, repository="mallory/x", tag="") for digest in theirs]
    with notifying(site) as http:
        assert http.post("/v1/registry/notifications", json=forged[0]).json()["registered"] == ["free:1.0.0"]
        eventually(lambda: site.api.get("/v1/images/free/1.0.0").json()["state"] == "VERIFYING", 20)
        for state in ("ACTIVE", "RETIRED"):
            moved = site.api.post("/v1/images/free/1.0.0/state", json={"state": state, "why": "by hand"})
            assert moved.status_code == 200, moved.text
        assert site.api.post("/v1/images", json={"reference": f"{site.registry}/eo/free@{mine}"}).status_code == 201
        assert "not from" in http.post("/v1/registry/notifications", json=forged[1]).json()["refused"][0]["why"]


def test_a_forged_notification_registers_nothing(site: Site) -> None:
    """Another host is not even asked; a digest that is not there is refused; what is no envelope is told."""
    other = free_port()
    with notifying(site) as http:
        forged = http.post("/v1/registry/notifications", json=an_event(f"127.0.0.1:{other}", f"sha256:{'1' * 64}"))
        assert forged.json() == {"registered": [], "refused": [], "passed_by": 1}
        absent = http.post("/v1/registry/notifications", json=an_event(site.registry, f"sha256:{'1' * 64}", tag=""))
        assert "does not have" in absent.json()["refused"][0]["why"]
        assert http.post("/v1/registry/notifications", json={}).status_code == 422
        assert http.post("/v1/registry/notifications", content=b"x" * 6_000_000).status_code == 413
    assert found(site, "2.0.0") is None


def test_a_registry_that_is_down_is_asked_again(site: Site, sqlite_database: str) -> None:
    """503: whoever tells has to tell again."""
    down = f"127.0.0.1:{free_port()}"
    known = declare(site.folder, down)
    with serving(make_settings(site.folder, sqlite_database, registries=known, registry_check_s=0)) as api:
        answer = api.post("/v1/registry/notifications", json=an_event(down, f"sha256:{'1' * 64}"))
    assert answer.status_code == 503


def notifying(site: Site) -> httpx.Client:
    """A client with a registry's token."""
    token = make(site.api, "registry", scope="notify", images=[], user="registry")["token"]
    return asking(site.api, token)
