"""The routes that tell what is loaded and how the service is."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service import problems, schemas
from service.access import ACCESS_PROBLEMS, needs
from service.asked import loaded_registry, not_ready
from service.registry import Registry

router = APIRouter()


@router.get("/models", dependencies=[Depends(needs(None))], responses=problems.responses("not_ready", *ACCESS_PROBLEMS))
async def models(registry: Annotated[Registry, Depends(loaded_registry)]) -> schemas.ModelList:
    """What is loaded; the default first."""
    found = []
    for place, (role, item, share) in enumerate(registry.roles()):
        manifest = item.detector.manifest
        found.append(
            schemas.LoadedModel(
                family=manifest.family,
                version=manifest.version,
                sha256=manifest.sha256,
                created=manifest.created,
                default=place == 0,
                role=role,
                share=share,
                sample_rate_hz=manifest.input.sample_rate,
                window_seconds=manifest.input.window_samples / manifest.input.sample_rate,
                operating_points=dict(manifest.output.operating_points),
                metrics=manifest.metrics,
            )
        )
    return schemas.ModelList(models=found, store=_store_state(registry), behind=list(registry.behind))


@router.get(
    "/models/{family}/versions/{version}",
    dependencies=[Depends(needs(None))],
    responses=problems.responses("unknown_model", "not_ready", "invalid_parameter", *ACCESS_PROBLEMS),
)
async def model_version(
    family: str,
    version: Annotated[int, Path(ge=1)],
    registry: Annotated[Registry, Depends(loaded_registry)],
) -> schemas.ModelDetail:
    """A loaded model's manifest and card."""
    item = registry.get(f"{family}@{version}")
    return schemas.ModelDetail(manifest=item.detector.manifest, card=item.card)


@router.get("/health/live")
async def live() -> schemas.Health:
    """The process runs and answers."""
    return schemas.Health(status="alive")


@router.get("/health/ready", responses=problems.responses("not_ready"))
async def ready(request: Request, registry: Annotated[Registry, Depends(loaded_registry)]) -> schemas.Readiness:
    """The models are loaded and warm, and the process is not about to stop.

    While it drains, requests are still answered: a balancer that asks here has the time to send them elsewhere.
    """
    if request.app.state.draining:
        raise not_ready()
    return schemas.Readiness(status="ready", store=_store_state(registry))


@router.get(
    "/metrics",
    dependencies=[Depends(needs("metrics"))],
    response_class=Response,
    responses=problems.responses(*ACCESS_PROBLEMS)
    | {200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Metrics, for Prometheus to scrape."""
    return Response(generate_latest(request.app.state.telemetry.registry), media_type=CONTENT_TYPE_LATEST)


def _store_state(registry: Registry) -> Literal["current", "stale"]:
    return "stale" if registry.behind else "current"
