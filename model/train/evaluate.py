#!/usr/bin/env python3
"""What the checkpoint is worth and what it looks like inside, in float32, as it is exported.

    python3 evaluate.py OUT

Prints the held-out perplexity in both ways of counting, the fraction of zero weights by role, and
the fraction of zero activations that enter ffn_down.
"""

import math
import pathlib
import sys

import torch
from torch.nn import functional

import bpe
import corpus
import train
from network import eight_bit, ternary

ROLES = ("q", "k", "v", "o", "gate", "up", "down")


@torch.no_grad()
def chunked_loss(network, tokens, begin):
    """Mean loss as llama.cpp's perplexity counts: `begin` and the text in chunks of the context, the
    first token of each replaced by `begin`, only predictions of the second half of a chunk scored."""
    context = network.shape.context
    tokens, losses = [begin, *tokens], []
    for start in range(0, len(tokens) - context + 1, context):
        chunk = torch.tensor([begin, *tokens[start + 1 : start + context]])
        logits = network(chunk[None], torch.float32)[context // 2 : -1]
        losses.append(functional.cross_entropy(logits, chunk[context // 2 + 1 :], reduction="none"))
    return torch.cat(losses).mean().item()


class ZeroActivations:
    """Fraction of zeros that enter ffn_down, layer by layer."""

    def __init__(self, layers):
        self.layers, self.calls = layers, 0
        self.values, self.integers = [0.0] * layers, [0.0] * layers

    def __call__(self, active):
        layer = self.calls % self.layers
        self.values[layer] += (active == 0).float().mean().item()
        self.integers[layer] += (eight_bit(active)[0] == 0).float().mean().item()
        self.calls += 1

    def after_eight_bits(self):
        return [layer * self.layers / self.calls for layer in self.integers]

    def report(self):
        times = self.calls / self.layers
        for layer in range(self.layers):
            print(f"layer {layer}: zero after relu^2 {self.values[layer] / times:.4f}, "
                  f"after eight bits {self.integers[layer] / times:.4f}")
        print(f"mean: zero after relu^2 {sum(self.values) / self.calls:.4f}, "
              f"after eight bits {sum(self.integers) / self.calls:.4f}")


@torch.no_grad()
def zero_activations(network, held_out, begin):
    """Counted over the beginning of the held-out text."""
    context, zeros = network.shape.context, ZeroActivations(network.shape.layers)
    for start in range(0, 8 * context, context):
        inputs, _ = train.windows(held_out, [start], context, begin)
        network(inputs, torch.float32, zeros)
    return zeros


@torch.no_grad()
def main():
    out = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    network, facts = train.load(out / "checkpoint.pt")
    tokenizer = bpe.Tokenizer.load(out / "tokenizer.json")
    training, held_out = (train.tokenized(tokenizer, part) for part in corpus.split())
    context, begin = network.shape.context, tokenizer.begin
    print(f"step {facts['step']}, {facts['minutes']:.1f} minutes")
    for name, stream in (("held-out", held_out), ("training (its beginning)", training[:40000])):
        loss = train.held_out_loss(network, stream, context, begin, torch.float32)
        print(f"{name}: loss {loss:.4f}, perplexity {math.exp(loss):.3f}")
    loss = chunked_loss(network, tokenizer.encode(corpus.excerpt()), begin)
    print(f"excerpt, second halves of chunks of {context}: perplexity {math.exp(loss):.4f}")
    for role in ROLES:
        zeros = [(ternary(getattr(block, role))[0] == 0).float().mean() for block in network.blocks]
        print(f"zero weights, {role}: {sum(zeros) / len(zeros):.4f} "
              f"({', '.join(f'{z:.4f}' for z in zeros)})")
    zero_activations(network, held_out, begin).report()


if __name__ == "__main__":
    main()
