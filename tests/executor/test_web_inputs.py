"""Inputs by http, from a real server with all its moods, through an executor's own fetcher."""

from __future__ import annotations

import hashlib
import os
import resource
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from executor.fetching import transfer
from executor.fetching.cache import Cache
from executor.fetching.policy import Policy
from executor.inputs import Inputs
from executor.settings import Settings
from executor.staging import StartError
from swath.domain.checksums import read_checksum
from swath.domain.retries import Cause
from tests.executor.build import a_manifest, a_spec
from tests.executor.fetching import HERE, a_fetcher, begun, fetched, refused
from tests.executor.web_server import LETTERS, Site, serving

SHA = read_checksum("sha256:" + hashlib.sha256(LETTERS).hexdigest())


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are for servers of others."""
    monkeypatch.setattr(transfer, "_FIRST_PAUSE_S", 0.001)


def test_a_file_is_fetched_once_and_kept_read_only(site: Site, tmp_path: Path) -> None:
    """The bytes, under the file's own name; who wants it again gets the same copy without a byte from the server."""
    fetcher = a_fetcher(tmp_path)
    path, _ = fetched(fetcher, site.url + "/a/scene.tif")
    again, _ = fetched(fetcher, site.url + "/a/scene.tif")
    assert path.read_bytes() == LETTERS
    assert (path, path.name) == (again, "scene.tif")
    assert path.stat().st_mode & 0o777 == 0o444
    assert site.asked("GET", "/a/scene.tif") == [None]


def test_what_breaks_off_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    """Each further request asks for the rest only, and the bytes are the file's."""
    site.breaks_after["/a/scene.tif"] = [300_000, 200_000]
    path, _ = fetched(a_fetcher(tmp_path), site.url + "/a/scene.tif", SHA)
    assert path.read_bytes() == LETTERS
    assert site.asked("GET", "/a/scene.tif") == [None, "bytes=300000-", "bytes=500000-"]


def test_a_killed_transfer_is_gone_on_with_by_the_next_executor(site: Site, tmp_path: Path) -> None:
    """What is on the disk when the executor dies is not asked for again."""
    site.breaks_after["/a/scene.tif"] = [300_000] + [0] * 50
    assert refused(a_fetcher(tmp_path), site.url + "/a/scene.tif").cause is Cause.TRANSFER
    site.breaks_after.clear()
    path, _ = fetched(a_fetcher(tmp_path), site.url + "/a/scene.tif")
    assert path.read_bytes() == LETTERS
    assert site.asked("GET", "/a/scene.tif")[-1] == "bytes=300000-"


def test_a_server_without_ranges_begins_anew(site: Site, tmp_path: Path) -> None:
    """A 200 where a range was asked for is the whole file."""
    site.without_ranges = True
    site.breaks_after["/a/scene.tif"] = [300_000]
    path, _ = fetched(a_fetcher(tmp_path), site.url + "/a/scene.tif")
    assert path.read_bytes() == LETTERS


def test_a_file_that_changes_meanwhile_is_never_mixed(site: Site, tmp_path: Path) -> None:
    """Half of the old one and half of the new one are no file: it is looked at and fetched anew."""
    site.breaks_after["/a/scene.tif"] = [300_000]
    fetcher, new = a_fetcher(tmp_path), LETTERS[::-1]

    def change() -> bool:
        if len(site.asked("GET", "/a/scene.tif")) == 1:
            site.files["/a/scene.tif"] = new
        return False

    path, _ = fetcher.fetch("SCENE", site.url + "/a/scene.tif", None, fetcher.begin(change, lambda message: None))
    assert path.read_bytes() == new


def test_another_version_is_another_copy(site: Site, tmp_path: Path) -> None:
    """The server's ETag decides; who holds the old one keeps it as it was."""
    fetcher = a_fetcher(tmp_path)
    old, _ = fetched(fetcher, site.url + "/a/scene.tif")
    site.files["/a/scene.tif"] = b"new"
    new, _ = fetched(fetcher, site.url + "/a/scene.tif")
    assert (old.read_bytes(), new.read_bytes()) == (LETTERS, b"new")


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_without_a_strong_version_nothing_is_gone_on_with(site: Site, tmp_path: Path, etag: str | None) -> None:
    """Nobody could tell that the rest is of the same bytes."""
    site.etags["/a/scene.tif"] = etag
    site.breaks_after["/a/scene.tif"] = [300_000]
    path, _ = fetched(a_fetcher(tmp_path), site.url + "/a/scene.tif")
    assert path.read_bytes() == LETTERS
    assert site.asked("GET", "/a/scene.tif") == [None, None]


def test_a_declared_checksum_asks_no_server_twice(site: Site, tmp_path: Path) -> None:
    """The same bytes from another address are the same copy."""
    fetcher = a_fetcher(tmp_path)
    first, _ = fetched(fetcher, site.url + "/a/scene.tif", SHA)
    asked = len(site.requests)
    second, _ = fetched(fetcher, site.url + "/mirror/scene.tif", SHA)
    assert (first, len(site.requests)) == (second, asked)


def test_a_wrong_checksum_is_the_inputs_fault(site: Site, tmp_path: Path) -> None:
    """It is fetched a second time, for a line may be bad; then the message names both, and nothing is kept."""
    wrong = read_checksum("sha256:" + "0" * 64)
    error = refused(a_fetcher(tmp_path), site.url + "/a/scene.tif", wrong)
    assert error.cause is Cause.INPUT
    assert str(SHA) in str(error)
    assert str(wrong) in str(error)
    assert len(site.asked("GET", "/a/scene.tif")) == 2
    assert not list(tmp_path.rglob("scene.tif"))


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((500, {}), None),
        ((503, {"Retry-After": "0"}), None),
        ((429, {"Retry-After": "soon"}), None),
        ((403, {}), Cause.INPUT),
        ((410, {}), Cause.INPUT),
    ],
)
def test_a_bad_answer_is_tried_again_or_told(
    site: Site, tmp_path: Path, answer: tuple[int, dict[str, str]], cause: Cause | None
) -> None:
    """What may pass is waited out; what will not is the input's fault at once."""
    site.answers["/a/scene.tif"] = [answer, answer]
    if cause is None:
        path, _ = fetched(a_fetcher(tmp_path), site.url + "/a/scene.tif")
        assert path.read_bytes() == LETTERS
    else:
        error = refused(a_fetcher(tmp_path), site.url + "/a/scene.tif")
        assert (error.cause, f"answers {answer[0]}" in str(error)) == (cause, True)
        assert len(site.asked("GET", "/a/scene.tif")) == 1


def test_a_server_that_stays_broken_is_the_platforms_trouble(site: Site, tmp_path: Path) -> None:
    """TRANSFER, which costs the task nothing, after five tries without a byte."""
    site.answers["/a/scene.tif"] = [(502, {})] * 50
    error = refused(a_fetcher(tmp_path), site.url + "/a/scene.tif")
    assert error.cause is Cause.TRANSFER
    assert "answers 502" in str(error)
    assert len(site.asked("GET", "/a/scene.tif")) == transfer.TRIES


def test_a_server_that_is_not_there_is_the_platforms_trouble(tmp_path: Path) -> None:
    """Refused connections are TRANSFER."""
    with serving() as site:
        url = site.url
    assert refused(a_fetcher(tmp_path), url + "/a/scene.tif").cause is Cause.TRANSFER


def test_a_missing_file_is_told(site: Site, tmp_path: Path) -> None:
    """INPUT, with the address and without what may be its signature."""
    error = refused(a_fetcher(tmp_path), site.url + "/none.tif?X-Amz-Signature=secret")
    assert error.cause is Cause.INPUT
    assert "/none.tif: 127.0.0.1 answers 404" in str(error)
    assert "secret" not in str(error)


def test_servers_that_know_no_head_serve_all_the_same(site: Site, tmp_path: Path) -> None:
    """As signed addresses of object stores do not."""
    site.without_head = True
    path, _ = fetched(a_fetcher(tmp_path), site.url + "/a/scene.tif")
    again, _ = fetched(a_fetcher(tmp_path), site.url + "/a/scene.tif")
    assert (path.read_bytes(), path) == (LETTERS, again)


def test_an_empty_file_is_a_file(site: Site, tmp_path: Path) -> None:
    """With HEAD or without."""
    site.files["/empty"] = b""
    path, _ = fetched(a_fetcher(tmp_path / "1"), site.url + "/empty")
    site.without_head = True
    other, _ = fetched(a_fetcher(tmp_path / "2"), site.url + "/empty")
    assert (path.read_bytes(), other.read_bytes()) == (b"", b"")


def test_redirects_are_followed_and_checked(site: Site, tmp_path: Path) -> None:
    """A relative one is; one into the site, or in a circle, is refused."""
    site.redirects |= {
        "/short": "/a/scene.tif",
        "/circle": "/circle",
        "/metadata": "http://169.254.169.254/latest/meta-data",
        "/file": "file:///etc/passwd",
        "/nowhere": "",
        "/broken": "http://[x",
    }
    fetcher = a_fetcher(tmp_path)
    path, _ = fetched(fetcher, site.url + "/short")
    assert (path.name, path.read_bytes()) == ("short", LETTERS)
    assert "redirects more than" in str(refused(fetcher, site.url + "/circle"))
    assert "not of the public internet" in str(refused(fetcher, site.url + "/metadata"))
    assert "inputs may come by http only" in str(refused(fetcher, site.url + "/file"))
    assert refused(fetcher, site.url + "/nowhere").cause is Cause.INPUT
    assert refused(fetcher, site.url + "/broken").cause is Cause.INPUT


def test_an_address_of_the_site_is_refused_by_name_too(site: Site, tmp_path: Path) -> None:
    """ "localhost" is loopback: without a word of the site's, nothing is asked there."""
    closed = Policy(schemes=frozenset({"http"}))
    url = site.url.replace("127.0.0.1", "localhost")
    error = refused(a_fetcher(tmp_path, policy=closed), url + "/a/scene.tif")
    assert (error.cause, "not of the public internet" in str(error)) == (Cause.INPUT, True)
    assert site.requests == []


def test_the_connection_goes_to_the_address_that_was_checked(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers with another address the second time (DNS rebinding) is not asked a second time."""
    answers = iter([["127.0.0.1"]] * 2)
    monkeypatch.setattr(Policy, "find_addresses", lambda self, host, port: next(answers))
    url = site.url.replace("127.0.0.1", "rebound.example.org")
    path, _ = fetched(a_fetcher(tmp_path), url + "/a/scene.tif")
    assert path.read_bytes() == LETTERS
    assert site.hosts == [url.removeprefix("http://")] * 2


def test_what_is_too_large_is_refused(site: Site, tmp_path: Path) -> None:
    """By what the server promises, before a byte comes; all inputs of an attempt together."""
    fetcher = a_fetcher(tmp_path, attempt=len(LETTERS) + 10)
    site.files["/b.tif"] = LETTERS[::-1]
    progress = begun(fetcher)
    fetcher.fetch("A", site.url + "/a/scene.tif", None, progress)
    with pytest.raises(StartError, match="larger than") as caught:
        fetcher.fetch("B", site.url + "/b.tif", None, progress)
    assert caught.value.cause is Cause.INPUT
    assert site.asked("GET", "/b.tif") == []


def test_an_attempt_that_is_to_end_waits_for_no_server(site: Site, tmp_path: Path) -> None:
    """KILLED in the middle of a slow transfer."""
    site.pause_s = 0.05
    fetcher = a_fetcher(tmp_path)
    progress = fetcher.begin(cancelled=lambda: len(site.asked("GET", "/a/scene.tif")) == 1, tell=lambda message: None)
    with pytest.raises(StartError) as caught:
        fetcher.fetch("SCENE", site.url + "/a/scene.tif", None, progress)
    assert caught.value.cause is Cause.KILLED


def test_progress_is_told(site: Site, tmp_path: Path) -> None:
    """How much of how much of what."""
    said: list[str] = []
    fetcher = a_fetcher(tmp_path)
    progress = fetcher.begin(cancelled=lambda: False, tell=said.append)
    progress._told_at_s = 0.0
    fetcher.fetch("SCENE", site.url + "/a/scene.tif?token=secret", None, progress)
    assert said == [f"fetching input SCENE: 1 of 1 MiB of {site.url}/a/scene.tif"]


def test_a_full_disk_is_the_agents_trouble(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AGENT, which says that the disk is full; not a failure of the server's."""

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    error = refused(a_fetcher(tmp_path), site.url + "/a/scene.tif")
    assert (error.cause, "the disk is full" in str(error)) == (Cause.AGENT, True)


def test_https_holds_servers_to_their_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the machine trusts, for that very name; else nothing is fetched, and the message says why."""
    authority, tls = make_certificate(tmp_path)
    closed = Policy(private=HERE.private)
    with serving(tls) as site:
        site.files["/a"] = LETTERS
        error = refused(a_fetcher(tmp_path / "1", policy=closed), site.url + "/a")
        assert (error.cause, "certificate is not trusted" in str(error)) == (Cause.TRANSFER, True)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        path, _ = fetched(a_fetcher(tmp_path / "2", policy=closed), site.url + "/a")
        assert path.read_bytes() == LETTERS
        other = site.url.replace("127.0.0.1", "localhost")
        assert "certificate is not trusted" in str(refused(a_fetcher(tmp_path / "3", policy=closed), other + "/a"))


def make_certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1, signed by itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
    certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "authority.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "server.pem").write_bytes(private + certificate.public_bytes(Encoding.PEM))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "server.pem")
    return directory / "authority.pem", tls


def test_an_attempt_may_have_more_inputs_than_files_may_be_open(site: Site, tmp_path: Path) -> None:
    """Each copy in use is held by an open file; the executor allows itself as many as it may."""
    settings = Settings.from_environ(
        {
            "MESOS_SANDBOX": str(tmp_path),
            "SWATH_DOCKER": "off",
            "SWATH_INPUT_SCHEMES": "http",
            "SWATH_INPUT_PRIVATE": "127.0.0.0/8",
        }
    )
    hrefs = [f"{site.url}/{number}" for number in range(60)]
    site.files |= {f"/{number}": b"x" for number in range(60)}
    spec = a_spec(a_manifest("true"), tmp_path, files={"ALL": hrefs})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, hard))
    try:
        staged = Inputs(settings).stage(spec, lambda: False, lambda message: None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(staged.paths["ALL"]) == 60
    staged.held.close()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a%20b.tif", "a b.tif"),
        ("/x/..%2f..%2fpasswd", "input"),
        ("/%00", "input"),
        ("/", "input"),
        ("/" + "x" * 300, "input"),
    ],
)
def test_a_name_is_one(site: Site, tmp_path: Path, path: str, name: str) -> None:
    """What an address calls a file becomes its name where that is one, and never a path."""
    site.files[path] = b"x"
    fetched_path, _ = fetched(a_fetcher(tmp_path), site.url + path)
    assert fetched_path.name == name
    assert fetched_path.is_relative_to(tmp_path)


def test_nothing_is_left_of_a_removal_that_was_killed(tmp_path: Path) -> None:
    """The next one that makes room goes on with it."""
    gone = tmp_path / ".gone-1" / "made"
    gone.mkdir(parents=True)
    with suppress(StartError):
        Cache(tmp_path, 1).make_room(0)
    assert list(tmp_path.iterdir()) == []
