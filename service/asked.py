"""What a request asks for: of which model, and how it is to be answered. And the problems that asking may have."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query, Request

from model_store.manifest import OperatingPointName
from service.access import ACCESS_PROBLEMS
from service.answers import Options
from service.problems import ProblemError
from service.registry import Loaded, Registry

AUDIO_PROBLEMS = (
    "unsupported_format",
    "empty_audio",
    "too_short",
    "too_long",
    "non_finite_samples",
    "sample_rate_out_of_range",
    "too_many_channels",
    "no_such_channel",
    "undecodable",
)
REQUEST_PROBLEMS = (
    *ACCESS_PROBLEMS,
    "rate_limited",
    "overloaded",
    "malformed_request",
    "unknown_model",
    "body_too_large",
    "invalid_parameter",
    "not_ready",
    "audit_unavailable",
    "deadline_exceeded",
)


# Coroutines, though nothing is awaited: FastAPI would hand plain functions to a thread, each request anew.
async def loaded_registry(request: Request) -> Registry:
    """What is loaded, or a 503."""
    registry: Registry | None = request.app.state.registry
    if registry is None:
        raise not_ready()
    return registry


ModelName = Annotated[
    str | None,
    Query(
        description="family, of which a canary may answer a share; family@version, family@stable or family@canary, "
        "of those in /models; by default the first of all"
    ),
]


async def loaded_model(
    request: Request, registry: Annotated[Registry, Depends(loaded_registry)], model: ModelName = None
) -> Loaded:
    """The model that a request names."""
    return registry.get(model, request_id=request.scope["request_id"])


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for a score asks for."""

    model: Loaded
    shadow: Loaded | None  # the model that is to score it in silence besides
    options: Options


async def asked(
    request: Request,
    model: ModelName = None,
    *,
    channel: Annotated[
        Literal["0", "1", "each"],
        Query(description="channels are never mixed; each is scored unless one is named"),
    ] = "each",
    operating_point: Annotated[
        OperatingPointName | None,
        Query(description="which threshold makes the verdict; see /models for their error rates"),
    ] = None,
    threshold: Annotated[
        float | None,
        Query(allow_inf_nan=False, description="a threshold on the score, instead of an operating point"),
    ] = None,
    explain: Annotated[bool, Query(description="also tell how the score came about")] = False,
) -> Asked:
    """All of it in one dependency: FastAPI takes longer to resolve one more than to do what is in it."""
    registry, request_id = await loaded_registry(request), request.scope["request_id"]
    loaded = registry.get(model, request_id=request_id)
    if operating_point is not None and threshold is not None:
        raise ProblemError("invalid_parameter", "A request names operating_point or threshold. Received: both.")
    return Asked(
        model=loaded,
        shadow=registry.shadow_of(loaded, request_id=request_id),
        options=Options(
            channel=None if channel == "each" else int(channel),
            operating_point=operating_point or request.app.state.settings.operating_point,
            threshold=threshold,
            explain=explain,
        ),
    )


def not_ready() -> ProblemError:
    """The 503 of a service that is not to be asked."""
    return ProblemError(
        "not_ready",
        "/health/ready says when the service is. Received: a request before that, or while it drains.",
        headers={"Retry-After": "1"},
    )
