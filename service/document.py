"""The OpenAPI document: FastAPI's, with what every answer has in common and with real answers as examples."""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI

# Written by `python -m openapi`, which asks the app and keeps what it answers.
EXAMPLES = Path(__file__).parent / "examples.json"

_REQUEST_ID = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}
_HEADERS = {
    "X-Request-ID": {"description": "the request's, or a ULID made for it", "schema": _REQUEST_ID},
    "Retry-After": {"description": "seconds after which to ask again", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "which key is asked for (RFC 6750, 3)", "schema": {"type": "string"}},
}
_OF_STATUS = {"401": "WWW-Authenticate", "403": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
_PARAMETERS = {
    "X-Request-ID": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "an id for the answer and the logs; one that does not match is replaced",
        "schema": {"type": "string"},
    }
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an app, made when first asked for."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    made = FastAPI.openapi(app)  # which keeps it as app.openapi_schema
    made["components"] |= {
        "headers": _HEADERS,
        "parameters": _PARAMETERS,
        "examples": json.loads(EXAMPLES.read_text(encoding="utf-8")),
    }
    for operation in [operation for path in made["paths"].values() for operation in path.values()]:
        if "security" in operation:  # a service without a keys file asks for none
            operation["security"].append({})
        operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/X-Request-ID"})
        for status, response in operation["responses"].items():
            names = ["X-Request-ID", *([_OF_STATUS[status]] if status in _OF_STATUS else [])]
            response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return made


def examples(*names: str, content: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """The entry of an operation's answer that shows real ones, beside other `content` that it may have."""
    shown = {name: {"$ref": f"#/components/examples/{name}"} for name in names}
    return {200: {"content": {"application/json": {"examples": shown}, **(content or {})}}}
