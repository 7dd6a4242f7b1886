"""Bodies that are refused as they are, before there is audio."""

import pytest

from tests.serving import Client
from tests.test_problems import check

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
