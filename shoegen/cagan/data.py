"""Pairs of a photograph and the article on it, and the triples drawn from them. Loads no torch.

A data set is one of

    pairs.csv            columns photo, article; if wanted other (another article) and truth (the photograph with that
                         one); paths relative to the file. The file itself is given, or the folder or zip it lies in
    photos/ articles/    pictures of one name
    img/GENDER/CATEGORY/ID/NN_K_POSE.jpg
                         the in-shop pictures of DeepFashion: those of pose "flat" show the article NN of ID alone, all
                         others are photographs of it
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import log
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from shoegen.cagan.config import MULTIPLE, Size, TrainingConfig
from shoegen.data.datasets import infinite_indices
from shoegen.data.files import MAX_FILE_BYTES, PictureFiles
from shoegen.data.images import decode_image, fit_image, same_aspect
from shoegen.data.loading import batches_of, map_ahead
from shoegen.data.tables import read_table
from shoegen.errors import ConfigError, DataError
from shoegen.torch_utils.distributed import World
from shoegen.torch_utils.text import some

FLAT = "flat"  # the pose of an article alone
CACHE_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Pair:
    """Names of pictures. other: of another article; truth: of the photo with that one; None: not given."""

    photo: str
    article: str
    other: str | None = None
    truth: str | None = None


class Triples(NamedTuple):
    """n photographs x_i, the articles on them y_i, others y_j: (n, 3, H, W) uint8.

    truth: the photographs with y_j, where known (n,) is 1, else zeros; None where no truth was asked for.
    """

    photo: np.ndarray
    worn: np.ndarray
    other: np.ndarray
    truth: np.ndarray | None = None
    known: np.ndarray | None = None


class PairSet:
    """The pairs of a data set at one size; every picture is decoded once, so that a bad one is found before training.

    Args:
        path: a CSV file, a folder or a zip file, see above.
        size: (height, width) to bring the pictures to, whose aspect they must have.
        skip_bad: leave out what cannot be used.
        cache_bytes: memory for decoded pictures.

    Attributes:
        pairs: those that can be used.
        digests: by picture, SHA-256 of its file: what has one is one picture.
        notes: what a user should know.

    Raises:
        DataError: no pairs, pictures without their other half, that cannot be read or are of another aspect.
    """

    def __init__(
        self,
        path: str | Path,
        size: Size,
        *,
        skip_bad: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.path, self.size = Path(path), size
        self._files, found, lonely = _find_pairs(self.path)
        problems = [f"{name} has no {half}" for name, half in lonely.items()]
        self.digests: dict[str, str] = {}
        self._cache: dict[str, np.ndarray] = {}
        self._room = cache_bytes
        shapes, wrong = self._read_all(found)
        self.pairs: list[Pair] = []
        for pair in found:
            reason = self._check(pair, shapes, wrong)
            if reason is None:
                self.pairs.append(pair)
            else:
                problems.append(reason)
        problems = list(dict.fromkeys(problems))
        self.notes: list[str] = []
        if problems and not (skip_bad and self.pairs):
            advice = (
                "mend them" if skip_bad or not self.pairs else "mend them, or leave them out with --skip-bad"
            )
            raise DataError(f"{path}: {some(problems, separator='; ')}; {advice}")
        if problems:
            self.notes.append(f"left out: {some(problems, separator='; ')}")

    def __getitem__(self, name: str) -> np.ndarray:
        """(3, H, W) uint8: a picture by its name."""
        kept = self._cache.get(name)
        return self._decode(name)[0] if kept is None else kept

    def articles(self, indices: Iterable[int]) -> dict[str, str]:
        """The articles on some pairs' photographs: digest → a name."""
        names = (self.pairs[int(i)].article for i in indices)
        return {self.digests[name]: name for name in names}

    @property
    def fingerprint(self) -> str:
        """Of the pairs and their pictures."""
        content = [
            [
                self.digests[each] if each else None
                for each in (pair.photo, pair.article, pair.other, pair.truth)
            ]
            for pair in self.pairs
        ]
        return hashlib.sha256(json.dumps([content, self.size]).encode()).hexdigest()

    def _read_all(self, pairs: list[Pair]) -> tuple[dict[str, Size], dict[str, str]]:
        """(height, width) of each picture as stored, and what is wrong with those that cannot be used."""
        names = dict.fromkeys(
            name for pair in pairs for name in (pair.photo, pair.article, pair.other) if name
        )
        names |= dict.fromkeys(pair.truth for pair in pairs if pair.truth)  # last: they may not all find room
        shapes, wrong = {}, {}

        def read(name: str) -> tuple[np.ndarray, str, Size] | str:
            try:
                return self._decode(name)
            except DataError as error:
                return str(error)

        for name, result in zip(names, map_ahead(read, names)):
            if isinstance(result, str):
                wrong[name] = f"{name}: {result}"
                continue
            picture, self.digests[name], shapes[name] = result
            if picture.nbytes <= self._room and picture.size:
                self._cache[name] = picture
                self._room -= picture.nbytes
        return shapes, wrong

    def _decode(self, name: str) -> tuple[np.ndarray, str, Size]:
        """A picture at this size, empty where it has another aspect; its file's digest; its size as stored."""
        data = self._files.read(name)
        pixels = decode_image(data)[0]
        height, width = pixels.shape[:2]
        if same_aspect((height, width), self.size):
            picture = np.ascontiguousarray(fit_image(pixels, self.size).transpose(2, 0, 1))
        else:
            picture = np.empty(0, np.uint8)
        return picture, hashlib.sha256(data).hexdigest(), (height, width)

    def _check(self, pair: Pair, shapes: dict[str, Size], wrong: dict[str, str]) -> str | None:
        """What is wrong with a pair."""
        names = [name for name in (pair.photo, pair.article, pair.other, pair.truth) if name]
        for name in names:
            if name in wrong:
                return wrong[name]
        for name in names[1:]:
            if not same_aspect(shapes[name], shapes[pair.photo]):
                photo, other = _text(shapes[pair.photo]), _text(shapes[name])
                return f"{pair.photo} is {photo} and {name} {other}, of another aspect"
        for name in names:
            if not same_aspect(shapes[name], self.size):
                return (
                    f"{name} is {_text(shapes[name])}, not of the aspect of {_text(self.size)}: "
                    f"{_advise(shapes[name], self.size)}"
                )
        if pair.other is not None and self.digests[pair.other] == self.digests[pair.article]:
            return f"{pair.photo}: the other article {pair.other} is the one worn"
        return None


class CaganData:
    """Triples to learn from, and others of articles that are held out.

    The articles to learn from and those held out are not the same; only where the data names another article for a
    photo, and its true picture is learned from, can that one be any.

    Attributes:
        pairs, held_out: to learn from and to validate on; the same unless other data was given for that.
        train, val: indices of the pairs there.
        fingerprint, contents, notes: see `torch_utils.training.Data`.

    Raises:
        DataError: as `PairSet`, or too few articles.
        ConfigError: the truth is to be learned from, and the data has none.
    """

    def __init__(self, config: TrainingConfig, world: World | None = None) -> None:
        self._config, self._world = config, world or World()
        self.pairs = self._open(config.data)
        self.notes = list(self.pairs.notes)
        everything = np.arange(len(self.pairs.pairs))
        content = [self.pairs.fingerprint]
        if len(self.pairs.articles(everything)) < 2:
            raise DataError(
                f"{config.data} has a single article, and another one is to be put in its place; expected two or more"
            )
        if config.val is None:
            self.held_out = self.pairs
            self.train, self.val = self._split()
        else:
            self.held_out = self._open(config.val)
            self.notes += [f"--val: {note}" for note in self.held_out.notes]
            self.train, self.val = everything, np.arange(len(self.held_out.pairs))
            content.append(self.held_out.fingerprint)
            own, others = (each.articles(range(len(each.pairs))) for each in (self.pairs, self.held_out))
            if shared := [name for digest, name in others.items() if digest in own]:
                self.notes.append(
                    f"{len(shared)} articles of --val {config.val} are among those to learn from ({some(shared)}); "
                    "validation flatters the model"
                )
        if config.truth and not any(self.pairs.pairs[i].truth for i in self.train):
            raise ConfigError(
                f"--truth-weight: got {config.truth:g}, but {config.data} has no true pictures of swaps; expected a "
                "pairs.csv with the columns other and truth"
            )
        self.fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        self.contents = f"{len(everything)} pairs of {len(self.pairs.articles(everything))} articles"
        self._to_learn = self.pairs.articles(self.train)
        self._to_hold_out = self.held_out.articles(self.val)
        if len(self._to_hold_out) < 2:  # then a held-out photo is tried with an article to learn from
            self._to_hold_out = self.held_out.articles(range(len(self.held_out.pairs)))
        if len(self._to_hold_out) < 2:
            raise DataError(f"--val {config.val} has a single article; expected two or more")

    def _open(self, path: str) -> PairSet:
        config = self._config
        return PairSet(
            path,
            config.model.size,
            skip_bad=config.skip_bad,
            cache_bytes=CACHE_BYTES // self._world.local_size,
        )

    @contextlib.contextmanager
    def batches(self, rows: Sequence[int], shown: int) -> Iterator[Iterator[Triples]]:
        """Some rows of endless batches, the photographs in a new order at each pass, from where the run stands.

        The other article follows from (seed, step, row).
        """
        config = self._config
        stream = infinite_indices(len(self.train), config.seed, shown)
        shares = (
            [(int(self.train[batch[row]]), (config.seed, step, row)) for row in rows]
            for step, batch in zip(count(shown // config.batch), batches_of(stream, config.batch))
        )
        with contextlib.closing(map_ahead(self._read, shares)) as batches:
            yield batches

    def validation(self, size: int, limit: int) -> Iterator[Triples]:
        """This process's share of at most `limit` triples held out, `size` at a time; a photo's other article is the
        one that the data names, if it does."""
        own = [int(i) for i in self.val[:limit]][self._world.rank :: self._world.size]
        for start in range(0, len(own), size):
            yield self.samples(own[start : start + size])

    def samples(self, indices: Sequence[int] | np.ndarray) -> Triples:
        """The triples of pairs that are held out."""
        pairs, seed = self.held_out, self._config.seed
        others = []
        for i in map(int, indices):
            pair = pairs.pairs[i]
            others.append(pair.other or _another(pairs, pair, self._to_hold_out, (seed, i)))
        return self._stack(pairs, [pairs.pairs[int(i)] for i in indices], others, truth=True)

    def _read(self, share: Sequence[tuple[int, tuple[int, ...]]]) -> Triples:
        pairs, truth = self.pairs, bool(self._config.truth)
        others = []
        for i, key in share:
            pair = pairs.pairs[i]
            known = pair.other if truth and pair.truth else None
            others.append(known or _another(pairs, pair, self._to_learn, key))
        return self._stack(pairs, [pairs.pairs[i] for i, _ in share], others, truth=truth)

    def _stack(self, files: PairSet, pairs: list[Pair], others: list[str], *, truth: bool) -> Triples:
        photo, worn, other = (
            np.stack([files[name] for name in names])
            for names in ([each.photo for each in pairs], [each.article for each in pairs], others)
        )
        if not truth:
            return Triples(photo, worn, other)
        known = [files[pair.truth] if pair.truth else None for pair in pairs]
        return Triples(
            photo,
            worn,
            other,
            np.stack([np.zeros_like(photo[0]) if each is None else each for each in known]),
            np.array([each is not None for each in known], np.float32),
        )

    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the pairs to learn from and to hold out; all photographs of an article stay together."""
        config, pairs = self._config, self.pairs
        own = [pairs.digests[pair.article] for pair in pairs.pairs]
        articles = list(dict.fromkeys(own))
        if len(articles) < 3:
            raise DataError(
                f"{config.data} has {len(articles)} articles: the training needs two and the validation one more; add "
                "pairs, or give others with --val"
            )
        order = np.random.default_rng(config.seed).permutation(len(articles))
        held_out = min(max(1, round(config.val_share * len(articles))), len(articles) - 2)
        chosen = {articles[i] for i in order[:held_out]}
        is_val = np.array([each in chosen for each in own])
        return np.flatnonzero(~is_val), np.flatnonzero(is_val)


def _another(pairs: PairSet, pair: Pair, articles: dict[str, str], key: tuple[int, ...]) -> str:
    """One of the articles that is not on the photo, by chance."""
    own = pairs.digests[pair.article]
    names = list(articles.values())
    choice = int(np.random.default_rng(key).integers(len(names) - (own in articles)))
    if own in articles and choice >= list(articles).index(own):
        choice += 1
    return names[choice]


# ---- finding the pairs ----


class _Beside:
    """The files that a CSV file names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        path = self._folder / name
        try:
            if not path.is_file():  # a pipe would block
                raise DataError("it is not a regular file" if path.exists() else "the file does not exist")
            if path.stat().st_size > MAX_FILE_BYTES:
                raise DataError(f"the file has more than {MAX_FILE_BYTES} bytes")
            return path.read_bytes()
        except (OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(str(error)) from error


class _Within:
    """The files of a folder or zip file, by names relative to one of its folders."""

    def __init__(self, files: PictureFiles, base: str = "") -> None:
        self._files, self._base = files, base

    def read(self, name: str) -> bytes:
        full = posixpath.normpath(posixpath.join(self._base, name))
        if full not in self._files:
            raise DataError("the file does not exist")
        return self._files.read(full)


Found = tuple[_Beside | _Within, list[Pair], dict[str, str]]
"""Where the pictures are, the pairs, and what lacks its other half: name → what is missing."""


def _find_pairs(path: Path) -> Found:
    if path.suffix.lower() == ".csv" and not path.is_dir():
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}; check the path") from error
        return (_Beside(path.parent), *_read_csv(content, str(path)))
    files = PictureFiles(path)
    lists = [name for name in files.others if PurePosixPath(name).name == "pairs.csv"]
    if len(lists) > 1:
        raise DataError(
            f"{path} has {len(lists)} files pairs.csv ({some(lists)}); give one of them as --data"
        )
    if lists:
        try:
            content = files.read(lists[0])
        except DataError as error:
            raise DataError(f"{lists[0]} in {path}: {error}") from error
        base = posixpath.dirname(lists[0])
        return (_Within(files, base), *_read_csv(content, f"{lists[0]} in {path}"))
    for find in (_find_in_shop, _find_same_names):
        pairs, lonely = find(files.pictures)
        if pairs or lonely:
            if not pairs:
                raise DataError(f"{path} has no pairs: {some(f'{k} has no {v}' for k, v in lonely.items())}")
            return _Within(files), pairs, lonely
    raise DataError(
        f"{path} has no pairs among its {len(files.pictures)} pictures; expected a pairs.csv with the columns photo "
        "and article, folders photos/ and articles/ with pictures of one name, or img/GENDER/CATEGORY/ID/NN_K_POSE.jpg"
    )


def _read_csv(content: bytes, name: str) -> tuple[list[Pair], dict[str, str]]:
    """The pairs of a CSV file.

    Raises:
        DataError: it is none, or lacks a column.
    """
    pairs, lonely = [], {}
    for row in read_table(content, name, ("photo", "article"), ("other", "truth"), others=True):
        photo, article, other, truth = (
            row.cells[each] or None for each in ("photo", "article", "other", "truth")
        )
        if photo and article and (other or not truth):
            pairs.append(Pair(photo, article, other, truth))
        else:
            missing = "photo" if not photo else "article" if not article else "other article for its truth"
            lonely[f"line {row.line} ({photo or article or other or truth})"] = missing
    if not pairs:
        listed = some(f"{each} has no {half}" for each, half in lonely.items())
        raise DataError(f"{name} has no pairs{': ' + listed if listed else ''}; expected a row for each pair")
    return pairs, lonely


_IN_SHOP = re.compile(r"(?P<article>(?:.*/)?img/[^/]+/[^/]+/[^/]+/\d+)_\d+_(?P<pose>[A-Za-z]+)\.\w+")


def _find_in_shop(pictures: list[str]) -> tuple[list[Pair], dict[str, str]]:
    """In the layout of DeepFashion."""
    flat: dict[str, str] = {}
    worn: dict[str, list[str]] = {}
    for name in pictures:
        match = _IN_SHOP.fullmatch(name)
        if match and match["pose"].lower() == FLAT:
            flat[match["article"]] = name
        elif match:
            worn.setdefault(match["article"], []).append(name)
    pairs = [Pair(photo, flat[each]) for each, photos in worn.items() if each in flat for photo in photos]
    lonely = {photo: "article" for each, photos in worn.items() if each not in flat for photo in photos}
    return pairs, lonely | {name: "photo" for each, name in flat.items() if each not in worn}


def _find_same_names(pictures: list[str]) -> tuple[list[Pair], dict[str, str]]:
    """Pictures of one name, whatever the suffix, in photos/ and articles/."""
    photos, articles = (
        {
            str(PurePosixPath(name).relative_to(top).with_suffix("")): name
            for name in pictures
            if name.startswith(top)
        }
        for top in ("photos/", "articles/")
    )
    pairs = [Pair(name, articles[key]) for key, name in photos.items() if key in articles]
    lonely = {name: "article" for key, name in photos.items() if key not in articles}
    return pairs, lonely | {name: "photo" for key, name in articles.items() if key not in photos}


def _advise(aspect: Size, size: Size) -> str:
    """How pictures of an aspect can be used: the size nearest to `size` that the networks take and they have."""
    sides = range(2 * MULTIPLE, 2 * max(size) + 1, MULTIPLE)
    fitting = [(height, width) for height in sides for width in sides if same_aspect(aspect, (height, width))]
    if not fitting:
        return f"cut them to {_text(size)}"
    nearest = min(fitting, key=lambda each: abs(log(each[0] * each[1] / (size[0] * size[1]))))
    return f"choose --resolution {_text(nearest)}"


def _text(size: Size) -> str:
    return f"{size[1]}x{size[0]}"
