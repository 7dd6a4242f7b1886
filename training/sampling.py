"""Which clips make a batch: as many of each class, in the same shares of corpora, and originals beside their copies."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from training.config import FitConfig
from training.corpus import NOT_SPEECH, Utterance

Shares = npt.NDArray[np.float64]


class Sampler:
    """Draws pairs of a bonafide clip and a spoof.

    Corpora, and within each its attacks, are drawn by their size to the power `balance`, so that a small one is heard
    too; so are the copies of a corpus' clips, by the corpora that hold them, where each holds copies of the same. Both
    clips of a pair are of one corpus, so that no corpus tells the classes apart. Copies, spoofs that name the utterance
    that they were made from, are drawn only together with it, and what nobody spoke is not drawn here. So of a corpus
    of one class those clips are heard of which copies are there, and `unheard` counts the others; where no corpus has
    both, all pairs are copies.

    Raises
    ------
    ValueError
        No corpus has both classes, and there are no copies.
    """

    def __init__(self, utterances: Sequence[tuple[Utterance, str]], config: FitConfig) -> None:
        self._config = config
        originals = {u.id: n for n, (u, _) in enumerate(utterances) if u.key == "bonafide"}
        self._copies: dict[int, int] = {
            n: originals[u.source]
            for n, (u, _) in enumerate(utterances)
            if u.source is not None and u.source in originals
        }
        bonafide, spoof = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
        for n, (u, corpus) in enumerate(utterances):
            if n not in self._copies and u.attack != NOT_SPEECH:
                (bonafide if u.key == "bonafide" else spoof)[corpus].append(n)
        copied = set(self._copies.values())
        self.unheard = Counter(
            corpus
            for of_class, others in ((bonafide, spoof), (spoof, bonafide))
            for corpus, members in of_class.items()
            for n in members
            if corpus not in others and n not in copied
        )
        self._bonafide = {corpus: np.array(members) for corpus, members in bonafide.items() if corpus in spoof}
        self._spoof = {corpus: np.array(spoof[corpus]) for corpus in self._bonafide}
        origins = [utterances[original][1] for original in self._copies.values()]
        if not self._bonafide and not self._copies:
            counts = [sum(len(members) for members in of_class.values()) for of_class in (bonafide, spoof)]
            rule = "Training takes a corpus of both classes, or copies of its bonafide clips"
            raise ValueError(f"{rule}. Received: {counts[0]} bonafide, {counts[1]} spoof, in corpora of one class.")
        sizes = [len(self._bonafide[corpus]) + len(self._spoof[corpus]) for corpus in self._bonafide]
        self._corpora = _powers(sizes, config.balance)
        attacks = {corpus: [utterances[n][0].attack for n in members] for corpus, members in self._spoof.items()}
        self._spoof_shares = {corpus: _cumulative(self._by_group(attacks[corpus])) for corpus in self._spoof}
        self._copied = np.array(list(self._copies), np.int64)
        of_copies = [(utterances[n][1], utterances[n][0].attack) for n in self._copies]
        if self._copies:
            sizes = [len(members) + len(spoof[corpus]) for corpus, members in bonafide.items()]
            per_corpus = dict(zip(bonafide, _powers(sizes, config.balance), strict=True))
            within = Counter(origins)
            weights = np.array([per_corpus[origin] / within[origin] for origin in origins])
            self._copy_shares = _cumulative(weights * self._by_corpus_and_attack(of_copies))

    def draw(self, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """`count` pairs of indices: a bonafide clip, and a spoof."""
        copies = round(self._config.pairs * count) if self._copies else 0
        if not self._bonafide:
            copies = count
        pairs = []
        if copies:
            chosen = self._copied[self._copy_shares.searchsorted(rng.random(copies), side="right")]
            pairs += [(self._copies[int(n)], int(n)) for n in chosen]
        if copies == count:
            return pairs
        names = list(self._bonafide)
        for place in rng.choice(len(names), count - copies, p=self._corpora):
            corpus = names[place]
            spoof = self._spoof[corpus][self._spoof_shares[corpus].searchsorted(rng.random(), side="right")]
            pairs.append((int(rng.choice(self._bonafide[corpus])), int(spoof)))
        return pairs

    def is_copy(self, bonafide: int, spoof: int) -> bool:
        """Whether a pair is an original and a copy of it."""
        return self._copies.get(spoof) == bonafide

    def _by_corpus_and_attack(self, members: Sequence[tuple[str, str | None]]) -> Shares:
        """The share of each member when first corpora are drawn, and then attacks of one."""
        shares = self._by_group([corpus for corpus, _ in members])
        for corpus in {corpus for corpus, _ in members}:
            places = [n for n, (its, _) in enumerate(members) if its == corpus]
            shares[places] *= len(places) * self._by_group([members[n][1] for n in places])
        return shares

    def _by_group(self, groups: Sequence[Hashable]) -> Shares:
        """The share of each member when groups are drawn by their size to the power, and members of one alike."""
        _, of_member, sizes = np.unique([str(g) for g in groups], return_inverse=True, return_counts=True)
        shares: Shares = (_powers(sizes.tolist(), self._config.balance) / sizes)[of_member]
        return shares


def _cumulative(shares: Shares) -> Shares:
    """Shares added up to 1. Where a uniform number falls in is what `Generator.choice` draws, and adds up each time."""
    sums = np.cumsum(shares)
    return np.asarray(sums / sums[-1])


def _powers(sizes: Sequence[int], power: float) -> Shares:
    raised = np.asarray(sizes, np.float64) ** power
    return np.asarray(raised / raised.sum())
