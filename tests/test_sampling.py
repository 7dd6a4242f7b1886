from collections import Counter

import numpy as np
import pytest

from training.config import FitConfig
from training.corpus import Utterance
from training.sampling import Sampler

LARGE = [Utterance("S", f"b{n}", None, "bonafide") for n in range(160)]
SPOOFS = [Utterance("S", f"s{n}", "A01" if n < 90 else "A02", "spoof") for n in range(100)]
SMALL = [Utterance("S", "c0", None, "bonafide"), Utterance("S", "c1", None, "bonafide")]
SMALL_SPOOFS = [Utterance("S", f"t{n}", "A03", "spoof") for n in range(3)]
COPIES = [Utterance("S", f"b{n}-1", f"V0{n % 2 + 1}", "spoof", source=f"b{n}") for n in range(20)]
CLIPS = [(u, "large") for u in LARGE + SPOOFS] + [(u, "small") for u in SMALL + SMALL_SPOOFS]
CLIPS += [(u, "copies") for u in COPIES]


def drawn(config: FitConfig, clips: list[tuple[Utterance, str]] = CLIPS) -> list[tuple[tuple[Utterance, str], ...]]:
    sampler, rng = Sampler(clips, config), np.random.default_rng(0)
    return [tuple(clips[n] for n in pair) for _ in range(100) for pair in sampler.draw(20, rng)]


def test_a_pair_is_bonafide_and_spoof_of_one_corpus() -> None:
    for (bonafide, corpus), (spoof, of_spoof) in drawn(FitConfig(pairs=0.0)):
        assert (bonafide.key, spoof.key, corpus) == ("bonafide", "spoof", of_spoof)


def test_a_copy_comes_with_its_original_and_only_so_often_as_asked() -> None:
    pairs = drawn(FitConfig(pairs=0.3))
    copies = [(bonafide.id, spoof.source) for (bonafide, _), (spoof, _) in pairs if spoof.source]
    assert len(copies) == 0.3 * len(pairs)
    assert all(original == source for original, source in copies)
    assert len(set(copies)) == 20
    assert not any(spoof.source for _, (spoof, _) in drawn(FitConfig(pairs=0.0)))


def test_sizes_are_taken_to_the_power() -> None:
    for power in (0.0, 0.5, 1.0):
        pairs = drawn(FitConfig(pairs=0.0, balance=power))
        corpora = Counter(corpus for (_, corpus), _ in pairs)
        attacks = Counter(spoof.attack for _, (spoof, _) in pairs)
        ratio = (260 / 5) ** power
        assert corpora["large"] / len(pairs) == pytest.approx(ratio / (1 + ratio), abs=0.04)
        assert attacks["A01"] / (attacks["A01"] + attacks["A02"]) == pytest.approx(9**power / (1 + 9**power), abs=0.04)


def test_corpora_of_copies_are_drawn_before_their_attacks() -> None:
    """However many methods one corpus has, another with as many copies is heard as often."""
    others = [Utterance("S", f"b{n}-x", "V71", "spoof", source=f"b{n}") for n in range(20)]
    many = [Utterance("S", f"b{n}-1", f"V{n // 2:02}", "spoof", source=f"b{n}") for n in range(20)]
    clips = [*CLIPS[: len(CLIPS) - 20], *((u, "many") for u in many), *((u, "others") for u in others)]
    pairs = drawn(FitConfig(pairs=1.0), clips)
    heard = Counter(corpus for _, (_, corpus) in pairs)
    assert heard["others"] / len(pairs) == pytest.approx(0.5, abs=0.04)
    attacks = Counter(spoof.attack for _, (spoof, corpus) in pairs if corpus == "many")
    assert all(count / heard["many"] == pytest.approx(0.1, abs=0.03) for count in attacks.values())


def test_a_copy_whose_original_is_elsewhere_is_a_spoof_like_others() -> None:
    lost = Utterance("S", "x-1", "V09", "spoof", source="x")
    pairs = drawn(FitConfig(pairs=0.5), [(u, "one") for u in [*LARGE[:2], lost]])
    assert all(spoof is lost for _, (spoof, _) in pairs)


def test_copies_of_a_corpus_without_other_spoofs_are_all_drawn_with_its_clips() -> None:
    speech = [(u, "speech") for u in LARGE[:20]] + [(u, "copies") for u in COPIES]
    others = [(u, "small") for u in SMALL + SMALL_SPOOFS]
    with_others, alone = (drawn(FitConfig(pairs=0.5), clips) for clips in (speech + others, speech))
    copies = [pair for pair in with_others if pair[1][1] == "copies"]
    assert len(copies) == len(with_others) / 2
    assert len({spoof.id for _, (spoof, _) in copies}) == 20
    assert all(bonafide.id == spoof.source for (bonafide, _), (spoof, _) in copies + alone)

    of_others = Utterance("S", "c0-1", "V01", "spoof", source="c0")
    pairs = drawn(FitConfig(pairs=1.0, balance=1.0), [*speech, *others, (of_others, "copies of others")])
    assert sum(corpus == "speech" for (_, corpus), _ in pairs) / len(pairs) == pytest.approx(20 / 25, abs=0.04)


def test_both_classes_are_needed_in_one_corpus() -> None:
    for clips, received in (
        ([(u, "one") for u in LARGE], "160 bonafide, 0 spoof, in corpora of one class"),
        (
            [(u, "one") for u in LARGE] + [(u, "other") for u in SPOOFS],
            "160 bonafide, 100 spoof, in corpora of one class",
        ),
    ):
        with pytest.raises(ValueError, match=f"takes a corpus of both classes, .* Received: {received}"):
            Sampler(clips, FitConfig())


def test_clips_that_are_never_drawn_are_counted() -> None:
    alone = [(u, "speech") for u in LARGE] + [(u, "copies") for u in COPIES] + [(u, "spoofs") for u in SPOOFS]
    clips = alone + [(u, "small") for u in SMALL + SMALL_SPOOFS]
    assert Sampler(clips, FitConfig()).unheard == {"speech": 140, "spoofs": 100}
    heard = Counter(corpus for pair in drawn(FitConfig(pairs=0.5), clips) for _, corpus in set(pair))
    assert set(heard) == {"speech", "copies", "small"}
    assert not Sampler(CLIPS, FitConfig()).unheard


def test_a_draw_is_that_of_numpy() -> None:
    """Whose sums are over all clips, anew for each draw."""
    attacks = [(90**0.3, 90), (10**0.3, 10)]
    shares = np.concatenate([np.full(size, weight / size) for weight, size in attacks]) / sum(w for w, _ in attacks)
    large = Sampler([clip for clip in CLIPS if clip[1] == "large"], FitConfig(pairs=0.0, balance=0.3))
    ours, numpys = np.random.default_rng(4), np.random.default_rng(4)
    pairs = large.draw(50, ours)
    numpys.choice(1, 50, p=[1.0])
    expected = [(int(numpys.choice(160 + np.arange(100), p=shares)), int(numpys.choice(160))) for _ in pairs]
    assert [(spoof, bonafide) for bonafide, spoof in pairs] == expected
