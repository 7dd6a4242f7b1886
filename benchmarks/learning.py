"""What training costs, as `benchmarks.training` found it, and the part of the report that says it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks import stats
from benchmarks.tables import table


@dataclass(frozen=True, slots=True)
class Loaded:
    """What decoding a partition took, once for a run."""

    clips: int
    audio_hours: float
    seconds: float
    cpu_seconds: float
    waveforms_mb: float  # as they are kept
    peak_mb: float  # of the process, everything in it


@dataclass(frozen=True, slots=True)
class Pass:
    """Some steps, one after another."""

    steps_per_second: float
    cpu_ms: float  # of this process and its workers, a step
    idle_share: float  # of the machine's cores
    others_share: float  # of them, what other processes took


@dataclass(frozen=True, slots=True)
class Steps:
    """A recipe's passes, in turns."""

    recipe: str
    batch_windows: int
    from_clips: list[Pass]
    in_memory: list[Pass]

    def ratio(self) -> stats.Spread:
        """Steps a second to those in memory, round by round."""
        ours, theirs = ([p.steps_per_second for p in passes] for passes in (self.from_clips, self.in_memory))
        return stats.spread(stats.ratios(ours, theirs))

    def if_busy(self) -> stats.Spread:
        """What the ratio is where steps in memory keep every core busy: that of their CPU time, round by round."""
        ours, theirs = ([p.cpu_ms for p in passes] for passes in (self.from_clips, self.in_memory))
        return stats.spread(stats.ratios(theirs, ours))


@dataclass(frozen=True, slots=True)
class Learning:
    """All of it."""

    loaded: Loaded
    steps: list[Steps]

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Learning":
        """As the process printed it."""
        steps = [
            Steps(**one | {name: [Pass(**taken) for taken in one[name]] for name in ("from_clips", "in_memory")})
            for one in found["steps"]
        ]
        return cls(Loaded(**found["loaded"]), steps)


def markdown(learning: Learning) -> Iterator[str]:
    """The report, line by line."""
    loaded = learning.loaded
    yield "## Training"
    yield ""
    yield (
        f"A partition of {loaded.clips:,} made clips, {loaded.audio_hours:.1f} hours at 16 kHz, is decoded once for a "
        f"run, in {loaded.seconds:.0f} s ({loaded.cpu_seconds:.0f} s of CPU time), and kept in memory as 16-bit "
        f"waveforms: {loaded.waveforms_mb:,.0f} MB, of {loaded.peak_mb:,.0f} MB that the process then holds. Steps "
        "from these clips, drawn, cut and augmented as in training, take turns with the same steps on batches that lie "
        "in memory. *If busy* is the ratio where those keep every core busy: augmentation takes CPU time as they do."
    )
    yield ""
    yield from table(
        (
            "recipe",
            "windows a step",
            "steps/s",
            "in memory",
            "ratio",
            "if busy",
            "CPU ms/step",
            "in memory",
            "idle, %",
        ),
        (_row(steps) for steps in learning.steps),
    )
    others = [taken.others_share for steps in learning.steps for taken in steps.from_clips + steps.in_memory]
    yield f"Other processes took {100 * stats.spread(others).median:.0f} % of the machine's CPU time meanwhile."
    yield ""


def _row(steps: Steps) -> tuple[str, ...]:
    def spread(passes: list[Pass], name: str, scale: float = 1.0) -> stats.Spread:
        return stats.spread([scale * getattr(taken, name) for taken in passes])

    return (
        steps.recipe,
        str(steps.batch_windows),
        f"{spread(steps.from_clips, 'steps_per_second'):.2f}",
        f"{spread(steps.in_memory, 'steps_per_second'):.2f}",
        f"{steps.ratio():.2f}",
        f"{steps.if_busy():.2f}",
        f"{spread(steps.from_clips, 'cpu_ms'):.0f}",
        f"{spread(steps.in_memory, 'cpu_ms'):.0f}",
        f"{spread(steps.from_clips, 'idle_share', 100):.0f}",
    )
