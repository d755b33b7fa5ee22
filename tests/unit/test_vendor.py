"""The vendored http-parser: the wheel is what its source says, and pymesos' connection can live with it."""

import zipfile
from pathlib import Path

from http_parser.http import BAD_RESPONSE, HttpParser

VENDOR = Path(__file__).parents[2] / "vendor"


def test_the_committed_wheel_holds_exactly_the_source_beside_it():
    """A change of the source without a new wheel is caught."""
    wheel = VENDOR / "wheels" / "http_parser-0.9.0+swath-py3-none-any.whl"
    source = VENDOR / "http-parser" / "http_parser"
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == {
        f"http_parser/{path.name}": path.read_bytes() for path in source.iterdir() if path.suffix in {".py", ".typed"}
    }


def test_a_chunked_response_in_single_bytes_gives_headers_then_body():
    """However the bytes are cut, status, headers and body come out whole."""
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: s\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    parser, body = HttpParser(), b""
    for position in range(len(raw)):
        assert parser.execute(raw[position : position + 1], 1) == 1
        body += parser.recv_body()
    assert (parser.get_status_code(), parser.is_chunked(), body) == (200, True, b"hello")
    assert parser.get_headers()["Mesos-Stream-Id"] == "s"
    assert parser.is_message_complete()


def test_bytes_that_are_no_http_set_errno():
    """pymesos reads `errno` and `errstr` of a pure-Python parser."""
    parser = HttpParser()
    assert parser.execute(b"\x00garbage\r\n\r\n", 11) == 0
    assert parser.errno == BAD_RESPONSE
    assert parser.errstr


def test_pymesos_imports_beside_it():
    """The reason for the package: pymesos' own import works on this Python."""
    import pymesos

    assert pymesos.MesosSchedulerDriver is not None
