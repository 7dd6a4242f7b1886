"""Vocoders: a waveform -> the same speech, made again. What they leave in it is what a detector learns to hear.

Every method is a function ``(waveform, *, sample_rate, rng) -> waveform``, float32 (n,) both, that keeps time to a
few milliseconds and draws its own settings; the level and the last samples are `copies.copy`'s matter.
"""
