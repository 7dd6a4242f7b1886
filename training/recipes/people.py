"""Recordings of people in Debian's packages, as a table: which files, who speaks what, under which licence.

Left out: what may be synthesised, since nobody is named and its pauses are silent (qabcs-data, the other reader of
gcin-voice, kajongg's English male2, ktuberling-data's Irish), what hardly stands out of noise (its Galician), noises,
music, voices that a game distorts (hedgewars-data, freedroidrpg-data) and shouts (megaglest-data, warmux-data).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Voices:
    """Some recordings of a package.

    Attributes
    ----------
    package : str
        Its name in Debian.
    pattern : str
        A regular expression that the path of a recording below the package's root matches as a whole.
    language, speaker : str
        Templates of `str.format` over the groups of `pattern`. A speaker is what the package tells apart: a reader, or
        who read one language of it.
    licence : str
        Of the recordings, as the package's copyright file has it.
    """

    package: str
    pattern: str
    language: str
    speaker: str
    licence: str

    def read(self, path: str) -> tuple[str, str] | None:
        """The language and the speaker of a path, or None where it is not one of these recordings."""
        found = re.fullmatch(self.pattern, path)
        if found is None:
            return None
        groups = {name: text or "" for name, text in found.groupdict().items()}
        language = self.language.format(**groups)
        return LANGUAGES.get(language, language), self.speaker.format(**groups)


LANGUAGES: Mapping[str, str] = {"en_GB": "en", "pt_BR": "pt", "nb": "no", "nn": "no", "se": "sv", "zh_tw": "zh"}

_NOT_SPEECH = r"(?!silence/|.*(?:beep|tone|buzz|tt-|monkeys|weasels|ringing|enter-num-blank))"
_CC_BY_SA = "CC-BY-SA-3.0"


def _asterisk(name: str, folder: str, language: str, speaker: str, licence: str = _CC_BY_SA) -> Voices:
    pattern = rf"usr/share/asterisk/sounds/{folder}/{_NOT_SPEECH}.+\.(?:wav|gsm)"
    return Voices(package=f"asterisk-{name}", pattern=pattern, language=language, speaker=speaker, licence=licence)


_STAMPS = r"usr/share/tuxpaint/stamps/.+"
_TUBERLING = r"usr/share/ktuberling/sounds"
_GAMES = r"usr/share/scummvm"
_GPL_2 = "GPL-2"

TABLE = (
    _asterisk("core-sounds-en-wav", "en_US_f_Allison", "en", "Asterisk_Allison"),
    _asterisk("core-sounds-es-wav", "es_MX_f_Allison", "es", "Asterisk_Allison"),
    _asterisk("core-sounds-fr-wav", "fr_CA_f_June", "fr", "Asterisk_June"),
    _asterisk("core-sounds-it-wav", "it_IT_m_Carlo", "it", "Asterisk_Carlo"),
    _asterisk("core-sounds-ru-wav", "ru_RU_f_IvrvoiceRU", "ru", "Asterisk_IvrvoiceRU"),
    _asterisk("prompt-it-menardi-wav", "it_IT_f_Menardi", "it", "Asterisk_DalZot", "CC-BY-SA-3.0 or LGPL-2.1"),
    _asterisk("prompt-es-co", "es", "es", "Asterisk_es_CO", "GPL"),
    _asterisk("prompt-fr-armelle", "fr", "fr", "Asterisk_Armelle", "GPL-2+"),
    Voices(
        package="fillets-ng-data-cs",
        pattern=r"usr/share/games/fillets-ng/sound/.+/(?P<language>cs)/[^/]+-(?P<fish>[mv])-[^/]+\.ogg",
        language="{language}",
        speaker="Fillets_{language}_{fish}",
        licence=_GPL_2,
    ),
    Voices(
        package="fillets-ng-data-nl",
        pattern=r"usr/share/games/fillets-ng/sound/.+/(?P<language>nl)/[^/]+-(?P<fish>[mv])-[^/]+\.ogg",
        language="{language}",
        speaker="Fillets_{language}_{fish}",
        licence=_GPL_2,
    ),
    Voices(
        package="festvox-ru",
        pattern=r"usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav/.+\.wav",
        language="ru",
        speaker="Festvox_nsh",
        licence="BSD-like; GPL-3",
    ),
    Voices(
        package="klettres-data",
        pattern=r"usr/share/klettres/(?P<language>\w+)/(?:alpha|syllab)/.+\.ogg",
        language="{language}",
        speaker="KLettres_{language}",
        licence="GPL-2+",
    ),
    Voices(
        package="ktuberling-data",
        pattern=rf"{_TUBERLING}/(?!ga/|gl/)(?P<language>[a-z]+)/(?!silence).+\.(?:wav|ogg|opus)",
        language="{language}",
        speaker="KTuberling_{language}",
        licence="GPL-2+",
    ),
    Voices(
        package="kajongg",
        pattern=r"usr/share/kajongg/voices/(?P<reader>female\d|male1)/.+\.ogg",
        language="en",
        speaker="Kajongg_en_{reader}",
        licence="GPL-2+",
    ),
    Voices(
        package="kajongg",
        pattern=r"usr/share/kajongg/voices/de/(?P<reader>\w+)/.+\.ogg",
        language="de",
        speaker="Kajongg_de_{reader}",
        licence="GPL-2+",
    ),
    Voices(
        package="tuxpaint-stamps-default",
        pattern=rf"{_STAMPS}_desc_(?P<language>\w+)\.(?:ogg|wav)",
        language="{language}",
        speaker="TuxPaint_{language}",
        licence=_GPL_2,
    ),
    Voices(
        package="tuxpaint-stamps-default",
        pattern=rf"{_STAMPS}_desc\.ogg",
        language="en",
        speaker="TuxPaint_en",
        licence=_GPL_2,
    ),
    Voices(
        package="tuxpaint-stamps-default",
        pattern=r"usr/share/tuxpaint/stamps/symbols/math/\d+_(?P<language>[a-z]{2}(?:_[a-z]{2})?)\.ogg",
        language="{language}",
        speaker="TuxPaint_numbers_{language}",
        licence=_GPL_2,
    ),
    Voices(
        package="tuxpaint-stamps-default",
        pattern=r"usr/share/tuxpaint/stamps/symbols/alphabets/.+_en_GB\.ogg",
        language="en",
        speaker="TuxPaint_numbers_en_GB",
        licence=_GPL_2,
    ),
    Voices(
        package="gcin-voice",
        pattern=r"usr/share/gcin-voice/ogg/.+/5\.ogg",
        language="zh",
        speaker="Gcin_ChuLo",
        licence="CC-BY-3.0",
    ),
    Voices(
        package="codec2-examples",
        pattern=r"usr/share/codec2/wav/(?P<file>(?!all|f2400|m2400).+)\.wav",
        language="en",
        speaker="Codec2_{file}",
        licence="LGPL-2.1",
    ),
    Voices(
        package="pocketsphinx-testdata",
        pattern=r"usr/share/pocketsphinx/test/data/(?P<folder>librivox|cards)/.+\.wav",
        language="en",
        speaker="PocketSphinx_{folder}",
        licence="BSD-2-Clause",
    ),
    Voices(
        package="pocketsphinx-testdata",
        pattern=r"usr/share/pocketsphinx/test/data/(?P<file>goforward|numbers|something)\.raw",
        language="en",
        speaker="PocketSphinx_{file}",
        licence="BSD-2-Clause",
    ),
    Voices(
        package="unknown-horizons",
        pattern=r"usr/share/unknown-horizons/content/audio/voice/(?P<language>\w+)/.+\.ogg",
        language="{language}",
        speaker="UnknownHorizons_{language}",
        licence="GPL-2+; CC-BY-SA-3.0",
    ),
    Voices(
        package="drascula",
        pattern=rf"{_GAMES}/drascula/en/(?P<role>BJ|D|I|P|T|VB)?\d+\.ALS",
        language="en",
        speaker="Drascula_{role}",
        licence="Drascula licence",
    ),
    Voices(
        package="flight-of-the-amazon-queen",
        pattern=r".+/queen\.1c/(?:[0-9A-FX]+J|JOE\d+)\d\.SB",
        language="en",
        speaker="AmazonQueen_Joe",
        licence="Flight of the Amazon Queen licence",
    ),
    Voices(
        package="flight-of-the-amazon-queen",
        pattern=r".+/queen\.1c/(?P<role>\d\d)[0-9A-F]+P\d\.SB",
        language="en",
        speaker="AmazonQueen_{role}",
        licence="Flight of the Amazon Queen licence",
    ),
)
