"""Front ends: the part of the model that turns a waveform into a picture of it over time.

They are stock layers and `keras.ops`, so that the artifact reloads under Keras' safe mode without any code of
ours, and their constants are frozen weights inside the artifact. `training.filters` has the constants and names their
oracles.
"""

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from training import filters
from training.config import FrontEndConfig
from training.sinc import sinc_filters
from training.vocoders.frames import cut as frames_of

Spectrum = tuple[keras.KerasTensor, keras.KerasTensor]  # real and imaginary part

_SPREAD = 0.5  # of log power, roughly: brings features to a standard deviation near 1
_BANDS = len(filters.LINE_BANDS_HZ) - 1
_TURNED_TOGETHER = 16  # frames: a number of them has factors, so that few constants turn all
_SHARE_SPREAD = 4.0  # of a share between 0 and 1, before the other
_STRONGEST_LINE = 30.0  # of power, where noise has 1: a hum is one line, and not to be heard as a comb
_LEAST_SQUARE = 1e-12  # under a root, whose slope at 0 has no end


class FrontEnds:
    """The front ends of one waveform: they share its spectra, and no two frozen layers share a name.

    Parameters
    ----------
    waveform : (batch, window_samples)
        Brought to unit power first, so that loudness can tell the model nothing.
    """

    def __init__(self, waveform: keras.KerasTensor, *, sample_rate: int) -> None:
        level = ops.sqrt(ops.mean(ops.square(waveform), axis=-1, keepdims=True))
        self.waveform = waveform / (level + 1e-7)
        self.sample_rate = sample_rate
        self._spectra: dict[tuple[int, int, int], Spectrum] = {}
        self.frozen: dict[str, np.ndarray] = {}  # layer's name -> its kernel, which training must not change

    def __call__(self, config: FrontEndConfig) -> keras.KerasTensor:
        """Features (batch, frames, bands, channels), around 0 with a spread near 1.

        The mean is taken away after the logarithm. Nothing is computed over the batch: a clip alone and among others
        gives the same.
        """
        return FRONT_ENDS[config.kind](self, config)

    def spectrum(self, config: FrontEndConfig) -> Spectrum:
        """Real and imaginary part, (batch, frames, fft_samples // 2 + 1) each, under a Hann window.

        Frames that are among those of another spectrum, whose steps are finer, are taken from it.
        """
        frame_samples, step_samples = (
            round(seconds * self.sample_rate) for seconds in (config.frame_seconds, config.step_seconds)
        )
        window, fft_samples = self.waveform.shape[-1], config.fft_samples
        if min(step_samples, frame_samples) < 1 or frame_samples > min(fft_samples, window):
            rule = "A step and a frame are 1 sample or more, a frame no longer than the FFT and the window"
            raise ValueError(f"{rule}. Received: {step_samples}, {frame_samples}, {fft_samples} and {window}.")
        for (frame, step, fft), (real, imaginary) in self._spectra.items():
            if (frame, fft) == (frame_samples, config.fft_samples) and step_samples % step == 0:
                every = step_samples // step
                return (real, imaginary) if every == 1 else (real[:, ::every], imaginary[:, ::every])
        spectrum: Spectrum = ops.stft(
            self.waveform,
            sequence_length=frame_samples,
            sequence_stride=step_samples,
            fft_length=config.fft_samples,
            window="hann",
            center=False,
        )
        self._spectra[frame_samples, step_samples, config.fft_samples] = spectrum
        return spectrum

    def power(self, config: FrontEndConfig) -> keras.KerasTensor:
        """The power spectrum, (batch, frames, fft_samples // 2 + 1); 1 in each bin for white noise of unit power."""
        real, imaginary = self.spectrum(config)
        return (ops.square(real) + ops.square(imaginary)) / self.window_power(config)

    def window_power(self, config: FrontEndConfig) -> float:
        """The sum of a Hann window's squares."""
        return 0.375 * round(config.frame_seconds * self.sample_rate)

    def frozen_product(self, matrix: np.ndarray, name: str) -> keras.layers.Dense:
        """The product with a constant matrix, as a layer of the artifact that training leaves alone."""
        unique = f"{name}_{len(self.frozen)}" if self.frozen else name
        layer = keras.layers.Dense(matrix.shape[1], use_bias=False, trainable=False, name=unique)
        layer.build((None, matrix.shape[0]))
        layer.set_weights([matrix])
        self.frozen[unique] = matrix
        return layer

    def filtered(self, config: FrontEndConfig) -> keras.KerasTensor:
        """The waveform behind each of the sinc filters, (batch, window_samples - taps + 1, bands)."""
        taps = 2 * (round(config.frame_seconds * self.sample_rate) // 2) + 1
        kernels = sinc_filters(bands=config.bands, taps=taps, sample_rate=self.sample_rate)
        layer = keras.layers.Conv1D(config.bands, taps, use_bias=False, trainable=False)
        filtered = layer(ops.expand_dims(self.waveform, -1))
        layer.set_weights([kernels[:, None, :]])
        return filtered

    def bands(self, config: FrontEndConfig) -> keras.KerasTensor:
        """Log power in the bands of a filterbank, nats, (batch, frames, bands)."""
        matrix = filters.filterbank(config, sample_rate=self.sample_rate)
        power = self.frozen_product(matrix, "filterbank")(self.power(config))
        return ops.log(power / float(matrix.sum(axis=0).mean()) + config.floor)

    def centred(self, logarithm: keras.KerasTensor, config: FrontEndConfig) -> keras.KerasTensor:
        """Without its mean, (batch, frames, bands) -> (batch, frames, bands, 1).

        A local mean leaves the contrast of each point to what is around it: of a recording as a whole, its microphone,
        its noise and its voice, next to nothing is left (Jarrett et al. 2009, "What is the best multi-stage
        architecture for object recognition?", for pictures; their subtractive half).
        """
        if config.normalise == "local":
            frames, bands = config.around
            matrix = filters.local_mean(logarithm.shape[-1], around=bands)
            over_time = keras.layers.AveragePooling1D(frames, strides=1, padding="same")(logarithm)
            mean = self.frozen_product(matrix, "local_mean")(over_time)
        else:
            mean = ops.mean(logarithm, axis=(1, 2) if config.normalise == "clip" else (1,), keepdims=True)
        return ops.expand_dims(_SPREAD * (logarithm - mean), axis=-1)


def log_mel(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log power in bands of Slaney's mel scale; the oracle is librosa."""
    return front_ends.centred(front_ends.bands(config), config)


def log_linear(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log power in bands spaced evenly: the upper half of the spectrum, where vocoders err, as fine as the lower."""
    return front_ends.centred(front_ends.bands(config), config)


def log_spectrum(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log power in the first `bands` bins of the spectrum, as they are."""
    return front_ends.centred(ops.log(front_ends.power(config)[:, :, : config.bands] + config.floor), config)


def correlation(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log power in bands evenly spaced, and how far the spectrum there goes along with itself some bins further up.

    A voice is cyclostationary: what repeats f times a second has parts f Hz apart whose phases belong together (W. A.
    Gardner, "Exploitation of spectral redundancy in cyclostationary signals", IEEE Signal Processing Magazine 8(2),
    1991). Power does not tell a pulse from noise of the same spectrum, and a vocoder may get one right and not the
    other. At a lag of m bins it is the magnitude of the sum of X(k + m) X*(k) over the band, by the power in it: how
    strongly the band's envelope beats at m times a bin's width, between 0 and 1 or a little more.

    Returns
    -------
    (batch, frames, bands, 1 + lags)

    Raises
    ------
    ValueError
        A lag that is as wide as the spectrum.
    """
    bins = config.fft_samples // 2 + 1
    if max(config.lags) >= bins:
        raise ValueError(f"A lag is narrower than the spectrum, which has {bins} bins. Received: {max(config.lags)}.")
    bank = filters.filterbank(config, sample_rate=front_ends.sample_rate)
    summed = front_ends.frozen_product(bank / front_ends.window_power(config), "filterbank")
    real, imaginary = front_ends.spectrum(config)
    power = summed(ops.square(real) + ops.square(imaginary))
    channels = [ops.log(power / float(bank.sum(axis=0).mean()) + config.floor)]
    for lag in config.lags:
        low, high = slice(None, -lag), slice(lag, None)
        in_phase = real[..., high] * real[..., low] + imaginary[..., high] * imaginary[..., low]
        apart = imaginary[..., high] * real[..., low] - real[..., high] * imaginary[..., low]
        between = ((0, 0), (0, 0), (lag // 2, lag - lag // 2))
        squares = [ops.square(summed(ops.pad(product, between))) for product in (in_phase, apart)]
        magnitude = ops.sqrt(squares[0] + squares[1] + _LEAST_SQUARE)
        channels.append(_SHARE_SPREAD * magnitude / (power + config.floor))
    return ops.concatenate([front_ends.centred(channel, config) for channel in channels], axis=-1)


def frame_lines(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """How much stands on the multiples of each rate at which synthesisers make frames, in each of four bands.

    A vocoder that makes frames of 256 samples at 22,050 Hz repeats what its layers add to every frame 86.13 times a
    second: a comb of lines, faint, as sharp as the clip is long, and always at the same place, where neither a voice
    nor a room puts any; mains hum does, at 50 and 100 Hz (J. Pons et al., "Upsampling artifacts in neural audio
    synthesis", 2020, arXiv:2010.14356; D. Afchar et al., "A Fourier explanation of AI-music artifacts", 2025,
    arXiv:2506.19108).

    Of each point of the spectrum only its phase is kept, so that pauses and high bands, where lines stand out, say as
    much as vowels. Over time, each bin's phases are transformed once more: what keeps turning at one frequency for the
    whole window has a power well above 1 there, where noise has 1 on average. A feature is the logarithm of the mean
    power of the lines in a band, in units of what noise spreads by, and no less than 0.

    Exact lines are worth the most, but speech that was played once may have been played by a clock that is a little
    off: the second channel is the strongest of what several clocks show.

    Returns
    -------
    (batch, rates, bands, 2)
        By the first of `clocks_ppm`, and by whichever has the most.
    """
    spectrum = front_ends.spectrum(config)
    lines = filters.lines(config, frames=spectrum[0].shape[1], sample_rate=front_ends.sample_rate)
    frames, cycle = len(lines.cosines), len(lines.centres)
    lacking = max(lines.bins - spectrum[0].shape[2], 0)
    real, imaginary = (
        ops.reshape(
            ops.transpose(ops.pad(part[:, :, : lines.bins], ((0, 0), (0, 0), (0, lacking))), (0, 2, 1)),
            (-1, lines.bins // cycle, cycle, frames),
        )
        for part in spectrum
    )
    floor = (config.floor * front_ends.window_power(config)) ** 0.5
    weight = 1 / (ops.sqrt(ops.square(real) + ops.square(imaginary)) + floor)
    as_is, turned = ops.stack([real, imaginary], axis=1), ops.stack([-imaginary, real], axis=1)
    still = ops.expand_dims(weight, 1) * (as_is * lines.centres.real + turned * lines.centres.imag)
    turn = front_ends.frozen_product(np.concatenate([lines.cosines, lines.sines], axis=1), "turn")
    sums = turn(ops.reshape(still, (-1, 2, lines.bins, frames)))
    (real_cosines, real_sines), (cosines, sines) = (ops.split(sums[:, part], 2, axis=-1) for part in (0, 1))
    up = ops.square(real_cosines + sines) + ops.square(cosines - real_sines)
    down = ops.square(real_cosines - sines) + ops.square(cosines + real_sines)
    power = ops.minimum(ops.concatenate([up, down], axis=-1), _STRONGEST_LINE)
    power = ops.take(ops.reshape(power, (-1, power.shape[1] * power.shape[2])), lines.places, axis=1)
    mean = front_ends.frozen_product(lines.means, "lines")(power)
    features = ops.log(ops.maximum(mean, 1.0)) * (_SPREAD * np.sqrt(lines.counts)).astype(np.float32)
    features = ops.reshape(features, (-1, len(config.clocks_ppm), len(config.rates_hz), _BANDS))
    return ops.stack([features[:, 0], ops.max(features, axis=1)], axis=-1)


def layer_images(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """How much of the spectrum stands, in phase, on what is a vocoder layer's rate away, in each of four bands.

    A layer that makes s samples out of one treats each of the s a little differently, which modulates what it passes at
    its input's rate: 689 and 5,512 Hz, if frames of 256 samples at 22,050 Hz are made by strides of 8, 8, 2 and 2. The
    speech then has faint images of itself, moved by that much or mirrored at half of it, whose phases keep to it for as
    long as the clip is, which neither a voice nor a room does, but a crude resampler too: such a signal is
    cyclostationary (W. A. Gardner, "Exploitation of spectral redundancy in cyclostationary signals", IEEE Signal
    Processing Magazine 8(2), 1991).
    `frame_lines` are what a layer adds, whatever it is given; images are what it does to what it is given.

    Of each point of the spectrum only its phase is kept. On a grid of bins that rates are multiples of, each bin's
    middle turned to 0 Hz, a rate's evidence is the sum over time of one bin's phases times another's: all rates of a
    grid are read off one matrix product. Phases that have nothing to do with each other sum to a power of 1 on average.
    A feature is the logarithm of the mean power of the pairs of bins in a band that are a rate apart, in units of what
    noise spreads by, and no less than 0.

    Returns
    -------
    (batch, rates, bands, 1)

    Raises
    ------
    ValueError
        A frame, or step, of no sample; or a frame, in whole steps, that is longer than the window.
    """
    frame, step = (round(seconds * front_ends.sample_rate) for seconds in (config.frame_seconds, config.step_seconds))
    window = front_ends.waveform.shape[-1]
    if min(step, frame) < 1 or (size := math.ceil(frame / step) * step) > window:
        rule = "A step and a frame are 1 sample or more, and a frame's steps no longer than the window"
        raise ValueError(f"{rule}. Received: {step}, {frame} and {window}.")
    cut = frames_of(front_ends.waveform, size=size, hop=step)
    frames = cut.shape[1] - cut.shape[1] % _TURNED_TOGETHER
    images = filters.images(config, frames=frames, sample_rate=front_ends.sample_rate)
    transform = np.pad(images.transform, ((0, size - frame), (0, 0)))
    spectrum = front_ends.frozen_product(transform, "transform")(cut[:, :frames])
    real, imaginary = ops.split(spectrum, 2, axis=-1)
    floor = (config.floor * front_ends.window_power(config)) ** 0.5
    weight = 1 / (ops.sqrt(ops.square(real) + ops.square(imaginary)) + floor)
    shape = len(images.seldom_turned), len(images.turned), sum(images.bins)
    real, imaginary = (ops.reshape(weight * part, (-1, *shape)) for part in (real, imaginary))
    for turn in (images.seldom_turned[:, None], images.turned):
        real, imaginary = real * turn.real - imaginary * turn.imag, real * turn.imag + imaginary * turn.real
    real, imaginary = (ops.reshape(part, (-1, frames, sum(images.bins))) for part in (real, imaginary))
    powers, first = [], 0
    for bins, (upper, lower), mirrored in zip(images.bins, images.pairs, images.mirrored, strict=True):
        phases = ops.concatenate([part[:, :, first : first + bins] for part in (real, imaginary)], axis=-1)
        first += bins
        product = ops.reshape(ops.matmul(ops.transpose(phases, (0, 2, 1)), phases), (-1, 4 * bins**2))
        entries = [
            ops.take(product, (upper + up * bins) * 2 * bins + lower + low * bins, axis=-1)
            for up, low in ((0, 0), (1, 1), (1, 0), (0, 1))
        ]
        sign = np.where(mirrored, -1, 1).astype(np.float32)
        powers.append(ops.square(entries[0] + entries[1] * sign) + ops.square(entries[2] - entries[3] * sign))
    power = ops.minimum(ops.concatenate(powers, axis=-1) / frames, _STRONGEST_LINE)
    mean = front_ends.frozen_product(images.means, "images")(power)
    features = ops.log(ops.maximum(mean, 1.0)) * (_SPREAD * np.sqrt(images.counts)).astype(np.float32)
    return ops.reshape(features, (-1, features.shape[1] // _BANDS, _BANDS, 1))


def lfcc(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Linear-frequency cepstral coefficients, with deltas and double deltas as further channels.

    M. Sahidullah, T. Kinnunen, C. Hanilçi, "A comparison of features for synthetic speech detection", Interspeech 2015.

    Returns
    -------
    (batch, frames, coefficients, 3)
    """
    cosines = filters.cosine_transform(config.bands, coefficients=config.coefficients)
    bands = front_ends.bands(config)
    static = front_ends.frozen_product(cosines, "cosines")(bands)
    delta = _delta(static)
    stacked = ops.stack([static, delta, _delta(delta)], axis=-1)
    # Each coefficient and derivative without its mean over the window: what is left does not depend on the channel.
    return stacked - ops.mean(stacked, axis=1, keepdims=True)


def sinc(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:
    """Log level at the output of band-pass filters on a mel scale, as RawNet2's and AASIST's (`training.sinc`).

    The largest magnitude of each step; `bands` filters of a `frame_seconds` each. Dear: they run at the full rate.
    """
    filtered = front_ends.filtered(config)
    step_samples = round(config.step_seconds * front_ends.sample_rate)
    level = keras.layers.MaxPooling1D(step_samples)(ops.abs(filtered))
    return front_ends.centred(ops.log(ops.square(level) + config.floor), config)


def waveform(front_ends: FrontEnds, config: FrontEndConfig) -> keras.KerasTensor:  # noqa: ARG001
    """The waveform itself, (batch, window_samples), for families that begin with it."""
    return front_ends.waveform


FRONT_ENDS: dict[str, Callable[[FrontEnds, FrontEndConfig], keras.KerasTensor]] = {
    "log_mel": log_mel,
    "log_linear": log_linear,
    "log_spectrum": log_spectrum,
    "correlation": correlation,
    "frame_lines": frame_lines,
    "layer_images": layer_images,
    "lfcc": lfcc,
    "sinc": sinc,
    "waveform": waveform,
}


def _delta(features: keras.KerasTensor) -> keras.KerasTensor:
    """The slope over five frames by least squares; frames beyond the ends repeat the last one."""
    first, last = features[:, :1], features[:, -1:]
    padded = ops.concatenate([first, first, features, last, last], axis=1)
    count = features.shape[1]
    shifted = [padded[:, n : n + count] for n in range(5)]
    return (2 * (shifted[4] - shifted[0]) + shifted[3] - shifted[1]) / 10
