"""Bodies that are refused as they are, before there is audio."""

import http.client

import httpx
import pytest

from tests.serving import Client
from tests.test_problems import check

RAW = bytes(8_000)  # a second of headerless audio
FORM = "multipart/form-data; boundary=x"


def part(disposition: str, data: bytes = b"secret") -> bytes:
    return b"--x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (disposition.encode(), data)


@pytest.mark.parametrize(
    ("media_type", "body", "detail"),
    [
        ("multipart/form-data", b"", "has a media type with its boundary. Received: one without."),
        (FORM, b"secret", "has its parts between its boundaries (RFC 2046, 5.1). Received: other bytes."),
        (FORM, b"--x\r\nsecret", "ends with its closing boundary. Received: none."),
        (FORM, part('name="file"; filename="secret"') * 2 + b"--x--", "has no more files than 1. Received: more."),
        (FORM, part('name="secret"') * 17 + b"--x--", "has no more fields than 16 that are not files. Received: more."),
        (FORM, part("secret") + b"--x--", "has a name for each of its parts. Received: a part without."),
        (
            FORM,
            part('name="secret"', bytes(1 << 21)) + b"--x--",
            "has files, and fields of 1048576 bytes at most. Received: a larger one.",
        ),
        (f"{FORM}; charset=undefined", part('name="secret"') + b"--x--", "Received: one that decodes nothing."),
    ],
)
def test_what_is_wrong_with_a_form_is_told(client: Client, media_type: str, body: bytes, detail: str) -> None:
    told = check(client.post("/detect", content=body, headers={"Content-Type": media_type}), "malformed_request")
    assert told["detail"].startswith("A multipart body")
    assert told["detail"].endswith(detail)
    assert "secret" not in told["detail"]


ENCODED = [
    ([("Content-Encoding", "identity"), ("Content-Encoding", "gzip")], "'identity, gzip'"),
    ([("Content-Encoding", "identity, br")], "'identity, br'"),
    ([("Transfer-Encoding", "gzip, chunked")], "'gzip, chunked'"),
    ([("Transfer-Encoding", "gzip"), ("Transfer-Encoding", "chunked")], "'gzip, chunked'"),
    ([("Content-Transfer-Encoding", "base64")], "'base64'"),
]


@pytest.mark.parametrize(("headers", "received"), ENCODED)
@pytest.mark.parametrize("path", ["/detect", "/batch"])
def test_no_encoded_body_is_scored_as_if_it_were_audio(
    client: Client, path: str, headers: list[tuple[str, str]], received: str
) -> None:
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=20)
    connection.putrequest("POST", path)
    chunked = "Transfer-Encoding" in dict(headers)
    framing = [] if chunked else [("Content-Length", str(len(RAW)))]
    for header in (("Content-Type", "audio/basic"), *framing, *headers):
        connection.putheader(*header)
    connection.endheaders(RAW, encode_chunked=chunked)
    found = connection.getresponse()
    answer = httpx.Response(found.status, headers=found.getheaders(), content=found.read())
    connection.close()
    assert check(answer, "malformed_request")["detail"].endswith(f"Received: {received}.")


@pytest.mark.parametrize(("path", "name"), [("/detect", "file"), ("/batch", "files")])
def test_no_encoded_part_is_scored_as_if_it_were_audio(client: Client, path: str, name: str) -> None:
    def status(header: str) -> int:
        form = part(f'name="{name}"; filename="a"\r\nContent-Type: audio/basic\r\n{header}', RAW) + b"--x--"
        answer = client.post(path, content=form, headers={"Content-Type": FORM})
        if answer.status_code != 200:
            assert check(answer, "malformed_request")["detail"].endswith("Received: another.")
        return answer.status_code

    assert status("Content-Transfer-Encoding: base64") == status("content-encoding: gzip") == 400
    assert status("Content-Transfer-Encoding: Binary") == status("Content-Transfer-Encoding: 8bit") == 200
    assert status("X: y") == 200
