#!/usr/bin/env python3
"""Held-out perplexity of n-gram models, on the tokens and the split of the trained model.

    python3 ngrams.py OUT

OUT holds tokenizer.json. Interpolated Kneser-Ney (Chen and Goodman 1998, section 2.7) with one
discount per order, D = n1 / (n1 + 2 n2); the unigram model is maximum likelihood plus one count.
"""

import collections
import math
import pathlib
import sys

import bpe
import corpus
from network import Shape
from train import tokenized


class KneserNey:
    """P(token | the order - 1 tokens before it)."""

    def __init__(self, stream, order, vocabulary):
        self.order, self.vocabulary = order, vocabulary
        self.tables = []  # by length of context: {context: (total, kinds, counts, discount)}
        counts = collections.Counter(zip(*(stream[i:] for i in range(order))))
        while True:
            self.tables.insert(0, self.table(counts))
            if len(next(iter(counts))) == 1:
                break
            # Lower orders count the distinct tokens before an n-gram, not its occurrences.
            counts = collections.Counter(gram[1:] for gram in counts)

    @staticmethod
    def table(counts):
        once = sum(1 for n in counts.values() if n == 1)
        twice = sum(1 for n in counts.values() if n == 2)
        discount = once / (once + 2 * twice) if once else 0.5
        followers = collections.defaultdict(dict)
        for gram, n in counts.items():
            followers[gram[:-1]][gram[-1]] = n
        return discount, {
            context: (sum(tokens.values()), tokens) for context, tokens in followers.items()
        }

    def probability(self, context, token):
        chance = 1 / self.vocabulary
        for length, (discount, followers) in enumerate(self.tables):
            total, tokens = followers.get(tuple(context[len(context) - length :]), (0, {}))
            if total:
                seen = max(tokens.get(token, 0) - discount, 0)
                chance = (seen + discount * len(tokens) * chance) / total
        return chance


def unigram(stream, vocabulary):
    counts = collections.Counter(stream)
    return lambda _, token: (counts[token] + 1) / (len(stream) + vocabulary)


def perplexity(probability, stream, places, order):
    logs = [math.log(probability(stream[max(0, i - order + 1) : i], stream[i])) for i in places]
    return math.exp(-sum(logs) / len(logs))


def main():
    tokenizer = bpe.Tokenizer.load(pathlib.Path(sys.argv[1]) / "tokenizer.json")
    training, held_out = (tokenized(tokenizer, part).tolist() for part in corpus.split())
    vocabulary = len(tokenizer.tokens)
    # As evaluate.py scores it.
    context = Shape.context
    excerpt = [tokenizer.begin, *tokenizer.encode(corpus.excerpt())]
    scored = [
        i for i in range(len(excerpt) // context * context) if i % context > context // 2
    ]
    models = [("unigram", 1, unigram(training, vocabulary))]
    for order, name in ((2, "bigram"), (3, "trigram"), (4, "4-gram")):
        model = KneserNey(training, order, vocabulary)
        check = sum(model.probability(training[: order - 1], token) for token in range(vocabulary))
        assert abs(check - 1) < 1e-9, check
        models.append((name, order, model.probability))
    print("model,held_out,excerpt")
    for name, order, probability in models:
        print(f"{name},{perplexity(probability, held_out, range(1, len(held_out)), order):.2f},"
              f"{perplexity(probability, excerpt, scored, order):.2f}")


if __name__ == "__main__":
    main()
