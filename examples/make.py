"""Make the clips of this folder again: ``python examples/make.py``. Needs Debian's espeak-ng and sox, nothing else.

espeak-ng speaks sentences of our own, and sox brings them to what a telephone or a browser would send. No
recording of a person is in them.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

CALLER = "Good morning. I am calling about my account, and my voice should be enough to open it."
AGENT = "Thank you for calling. Please tell me in a few words what I can do for you today."
TELEPHONE = ("sinc", "300-3400")  # Hz: the passband of a telephone line
MU_LAW = ("--rate", "8000", "--encoding", "mu-law")


def main() -> int:
    """Write the five clips beside this file."""
    here = Path(__file__).parent
    with TemporaryDirectory() as temporary:
        caller, agent = Path(temporary) / "caller.wav", Path(temporary) / "agent.wav"
        speak(CALLER, voice="en-gb", to=caller)
        speak(AGENT, voice="en-us+f3", to=agent)
        sox(caller, "--rate", "16000", "--bits", "16", here / "wideband.wav")
        sox(caller, *MU_LAW, here / "telephone.wav", *TELEPHONE)
        sox(here / "telephone.wav", "--type", "ul", here / "telephone.ul")
        sox("--combine", "merge", caller, agent, *MU_LAW, here / "two_channels.wav", *TELEPHONE)
        sox("--null", *MU_LAW, here / "silence.wav", "trim", "0", "2")
    return 0


def speak(text: str, *, voice: str, to: Path) -> None:
    """Let espeak-ng say a text, at 22,050 Hz."""
    subprocess.run(["espeak-ng", "-v", voice, "-s", "185", "-w", to, text], check=True)  # noqa: S603, S607


def sox(*arguments: str | Path) -> None:
    """Run sox without dither or chance, a little below full scale."""
    subprocess.run(["sox", "-D", "-R", "--guard", *arguments], check=True)  # noqa: S603, S607


if __name__ == "__main__":
    sys.exit(main())
