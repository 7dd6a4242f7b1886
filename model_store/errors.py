"""What can go wrong, as one tree, free of HTTP.

::

    BonafideError
    ├── AudioError                  a clip that cannot be scored; ``code`` is stable and part of the HTTP contract
    │   ├── UnsupportedFormat       unsupported_format        not a format that is read here
    │   ├── Undecodable             undecodable               a known format whose content cannot be read
    │   ├── EmptyAudio              empty_audio               no bytes, or no samples
    │   ├── TooShort                too_short                 fewer samples than a score needs
    │   ├── TooLong                 too_long                  more than the limit, by header or by content
    │   ├── NonFiniteSamples        non_finite_samples        NaN or Inf after the cast to float32
    │   ├── SampleRateOutOfRange    sample_rate_out_of_range
    │   ├── TooManyChannels         too_many_channels
    │   └── NoSuchChannel           no_such_channel           a channel asked for that the clip does not have
    └── StoreError                  an artifact or a store that cannot be used
        ├── NotFound                no such family or version
        ├── InvalidName             a family or version that is not a name of one
        ├── InvalidArtifact         files, versions, hashes or probe do not agree with the manifest
        ├── NotSigned               an artifact that no trusted key has signed
        ├── InvalidKey              a file that holds no key to sign or to trust with
        └── RuntimeMissing          what is to run the model is not installed

Every message states the rule and what was received. No message carries a library's own error text, a file
name or audio, so that all of them may be logged and answered.
"""

from pydantic import ValidationError


class BonafideError(Exception):
    """Root of every error that this project raises on purpose."""


class AudioError(BonafideError):
    """A clip that cannot be scored. ``code`` names the rule that it broke."""

    code = "undecodable"


class UnsupportedFormat(AudioError):
    code = "unsupported_format"


class Undecodable(AudioError):
    code = "undecodable"


class EmptyAudio(AudioError):
    code = "empty_audio"


class TooShort(AudioError):
    code = "too_short"


class TooLong(AudioError):
    code = "too_long"


class NonFiniteSamples(AudioError):
    code = "non_finite_samples"


class SampleRateOutOfRange(AudioError):
    code = "sample_rate_out_of_range"


class TooManyChannels(AudioError):
    code = "too_many_channels"


class NoSuchChannel(AudioError):
    code = "no_such_channel"


class StoreError(BonafideError):
    """A store or an artifact that cannot be used."""


class NotFound(StoreError):
    """No such family or version."""


class InvalidName(StoreError):
    """Not the name of a family or of a version."""


class InvalidArtifact(StoreError):
    """An artifact whose files, versions, hashes or probe do not agree with its manifest."""


class NotSigned(StoreError):
    """An artifact that no trusted key has signed."""


class InvalidKey(StoreError):
    """A file that holds no key to sign or to trust with."""


class RuntimeMissing(StoreError):
    """What is to run a model is not installed."""


def first_fault(error: ValidationError, *, document: str) -> str:
    """Where a document breaks its schema first, and how, without what stands there.

    Parameters
    ----------
    document : its name, where it is broken as a whole
    """
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or document
    return f"{where}: {first['msg']}"
