"""Exceptions -> problem+json (RFC 9457). The only place where an error meets an HTTP status."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from model_store.errors import AudioError
from service.telemetry import Telemetry, log

MEDIA_TYPE = "application/problem+json"

# code: (status, title). Codes are part of the contract: they are added, never changed.
CODES: dict[str, tuple[int, str]] = {
    "malformed_request": (400, "The request cannot be parsed."),
    "missing_key": (401, "The request has no key."),
    "invalid_key": (401, "The request's key opens nothing here."),
    "missing_scope": (403, "The request's key is not for this."),
    "not_found": (404, "There is nothing here."),
    "unknown_model": (404, "No such model is loaded."),
    "method_not_allowed": (405, "This route does not take this method."),
    "body_too_large": (413, "The body is larger than the limit."),
    "unsupported_format": (415, "The audio is not in a format that is read here."),
    "empty_audio": (422, "The audio is empty."),
    "too_short": (422, "The audio is too short to be scored."),
    "too_long": (422, "The audio is longer than the limit."),
    "non_finite_samples": (422, "The audio has samples that are not finite numbers."),
    "sample_rate_out_of_range": (422, "The audio's sample rate is out of range."),
    "too_many_channels": (422, "The audio has too many channels."),
    "no_such_channel": (422, "The audio does not have the channel asked for."),
    "undecodable": (422, "The audio cannot be decoded."),
    "invalid_parameter": (422, "A parameter is missing or out of range."),
    "overloaded": (429, "The service is at its limit."),
    "rate_limited": (429, "The client has asked for more than its share."),
    "internal_error": (500, "Something went wrong here."),
    "not_ready": (503, "The service is not ready, or is draining."),
    "audit_unavailable": (503, "The audit trail cannot be written."),
    "deadline_exceeded": (504, "The request was not done in time."),
}


class Problem(BaseModel):
    """An error, in the shape of RFC 9457. Branch on `code`; `detail` is for people and may change."""

    type: str = Field(description="a URN that ends in the code")
    title: str = Field(description="the code in words")
    status: int = Field(description="the HTTP status, which a problem within a batch has too")
    detail: str = Field(description="the rule, and what was received")
    code: str = Field(description=f"stable; there may be more one day. Now: {', '.join(CODES)}")
    request_id: str


class ProblemError(Exception):
    """A problem of a request that is not one of its audio."""

    def __init__(self, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.headers = dict(headers or {})


def problem(code: str, detail: str, *, request_id: str) -> Problem:
    """The problem of a code, for an answer or for one clip of a batch."""
    status, title = CODES[code]
    return Problem(
        type=f"urn:bonafide:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
    )


def of(error: Exception, *, request_id: str) -> Problem:
    """The problem that an exception is. What we did not raise on purpose keeps its text to itself."""
    match error:
        case ProblemError() | AudioError():
            return problem(error.code, str(error), request_id=request_id)
        case RequestValidationError():
            return problem("invalid_parameter", _validation_detail(error), request_id=request_id)
    return problem("internal_error", "The request id leads to the log entry.", request_id=request_id)


def report(error: Exception, *, request_id: str, telemetry: Telemetry) -> Problem:
    """The problem that an exception is, counted; logged with its traceback where the fault is ours."""
    found = of(error, request_id=request_id)
    telemetry.errors.labels(found.code).inc()
    if found.status == 500:
        log.error("problem", extra={"request_id": request_id, "code": found.code}, exc_info=error)
    return found


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The entries of an OpenAPI operation for the problems that it may answer with."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    return {
        status: {
            "description": ", ".join(f"`{code}`" for code in names),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in names},
                }
            },
        }
        for status, names in sorted(by_status.items())
    }


def install(app: FastAPI) -> None:
    """Make every error of an app a problem+json of one shape. What nobody foresaw, `RequestContext` hands over."""
    for kind in (ProblemError, AudioError, RequestValidationError, StarletteHTTPException):
        app.add_exception_handler(kind, answer)


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that raised `error`."""
    if isinstance(error, StarletteHTTPException):
        error = _in_our_words(request, error)
    found = report(error, request_id=request.scope["request_id"], telemetry=request.app.state.telemetry)
    request.scope["log"]["code"] = found.code
    headers = getattr(error, "headers", None)
    return JSONResponse(found.model_dump(), status_code=found.status, headers=headers, media_type=MEDIA_TYPE)


def _validation_detail(error: RequestValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return f"{where}: {first['msg']}. Received: {str(first.get('input'))[:80]!r}."


def _in_our_words(request: Request, error: StarletteHTTPException) -> ProblemError:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return ProblemError("not_found", "The routes are listed at /docs. Received: another path.", headers=headers)
    if error.status_code == 405:
        methods = headers.get("Allow", "other methods").split(", ")
        allowed = ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))
        if "Allow" in headers:
            headers["Allow"] = allowed
        rule = f"This route takes {allowed}; all routes are listed at /docs"
        return ProblemError("method_not_allowed", f"{rule}. Received: {request.method}.", headers=headers)
    if "range" in request.headers:
        rule = "A Range is bytes=first-last, and begins within the file"
        detail = f"{rule}. Received: {request.headers['range'][:80]!r}."
        return ProblemError("malformed_request", detail, headers=headers)
    return ProblemError("malformed_request", error.detail, headers=headers)
