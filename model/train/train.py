#!/usr/bin/env python3
"""Trains the model within a time budget and leaves a checkpoint and a log.

    python3 train.py OUT [--minutes 56] [--seed 1] ...

OUT gets tokenizer.json, checkpoint.pt and log.csv. The schedule follows the clock, not the step
count, so that the learning rate reaches its end when the budget does: a linear warm-up, a linear
decay, and weight decay for the first half only (the two stages of the b1.58 recipe).
"""

import argparse
import dataclasses
import math
import os
import pathlib
import time

import numpy
import torch
from torch.nn import functional

import bpe
import corpus
from network import Network, Shape, as_exported


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=56)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4, help="windows of a step")
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--checks", type=int, default=30, help="held-out losses in the log")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def tokenized(tokenizer, chapters):
    """One stream: begin, chapter, end, begin, ..."""
    stream = []
    for _, text in chapters:
        stream += [tokenizer.begin, *tokenizer.encode(text), tokenizer.end]
    return numpy.array(stream, dtype=numpy.int64)


def windows(stream, starts, length, begin):
    """Inputs and targets; every window opens with `begin`, as perplexity is measured."""
    rows = numpy.stack([stream[start : start + length + 1] for start in starts])
    inputs = rows[:, :-1].copy()
    inputs[:, 0] = begin
    return torch.from_numpy(inputs), torch.from_numpy(rows[:, 1:].copy())


@torch.no_grad()
def held_out_loss(network, stream, length, begin, product_type=torch.bfloat16, most=1 << 30):
    """Mean loss per token (nats) over windows that do not overlap."""
    starts = range(0, min(len(stream) - 1, most) - length, length)
    total = 0.0
    for first in range(0, len(starts), 8):
        some = starts[first : first + 8]
        inputs, targets = windows(stream, some, length, begin)
        loss = functional.cross_entropy(network(inputs, product_type), targets.view(-1))
        total += loss.item() * len(some)
    return total / len(starts)


def learning_rate(progress, peak):
    """Progress of the budget 0..1: up over its first 2 %, then down in a line to 2 % of the peak."""
    warm = min(1.0, progress / 0.02)
    return peak * warm * max(0.02, 1 - 0.98 * max(0.0, progress - 0.02) / 0.98)


def save(path, network, **facts):
    aside = path.with_suffix(".part")
    torch.save({"shape": dataclasses.asdict(network.shape), "state": network.state_dict(), **facts}, aside)
    os.replace(aside, path)


def load(path):
    """(network as exported, the other facts of the checkpoint)"""
    facts = torch.load(path, map_location="cpu")
    network = Network(Shape(**facts.pop("shape")))
    network.load_state_dict(facts.pop("state"))
    return as_exported(network), facts


def prepare(out, shape):
    """(tokenizer, training stream, held-out stream); makes tokenizer.json if OUT has none."""
    training, held_out = corpus.split()
    path = out / "tokenizer.json"
    if not path.exists():
        texts = (text for _, text in training)
        bpe.Tokenizer(
            bpe.learn_merges(texts, shape.vocabulary - 256 - len(bpe.SPECIALS))
        ).save(path)
    tokenizer = bpe.Tokenizer.load(path)
    return tokenizer, tokenized(tokenizer, training), tokenized(tokenizer, held_out)


class Log:
    """log.csv, and a checkpoint with every row. The held-out loss is that of the first 12,000 tokens,
    and in the last row that of all."""

    def __init__(self, options, network, held_out, begin):
        self.options, self.network, self.held_out, self.begin = options, network, held_out, begin
        self.started, self.next, self.mean_loss = time.monotonic(), 1, None
        self.file = open(options.out / "log.csv", "w", encoding="ascii")
        print("minutes,step,tokens,learning_rate,train_loss,held_out_loss", file=self.file)

    def minutes(self):
        return (time.monotonic() - self.started) / 60

    def add(self, progress, step, rate, loss):
        self.mean_loss = loss if self.mean_loss is None else 0.98 * self.mean_loss + 0.02 * loss
        if progress < self.next / self.options.checks and progress < 1:
            return
        self.next = math.floor(progress * self.options.checks) + 1
        context = self.network.shape.context
        held_out_loss_now = held_out_loss(
            as_exported(self.network), self.held_out, context, self.begin,
            most=len(self.held_out) if progress >= 1 else 12000,
        )
        tokens = step * self.options.batch * context
        row = (f"{self.minutes():.2f},{step},{tokens},{rate:.6f},"
               f"{self.mean_loss:.4f},{held_out_loss_now:.4f}")
        print(row, file=self.file, flush=True)
        print(row, flush=True)
        save(self.options.out / "checkpoint.pt", self.network, step=step, minutes=self.minutes())


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    random = numpy.random.default_rng(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    shape = Shape(layers=options.layers)
    tokenizer, stream, held_out = prepare(options.out, shape)

    network = Network(shape)
    matrices = [p for p in network.parameters() if p.dim() == 2]
    vectors = [p for p in network.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), eps=1e-8, foreach=True)
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {len(stream)} training tokens, "
          f"{len(held_out)} held-out tokens", flush=True)

    log = Log(options, network, held_out, tokenizer.begin)
    step, progress = 0, 0.0
    while progress < 1:
        rate = learning_rate(progress, options.rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if progress >= 0.5:
            optimizer.param_groups[0]["weight_decay"] = 0.0
        starts = random.integers(0, len(stream) - shape.context - 1, options.batch)
        inputs, targets = windows(stream, starts, shape.context, tokenizer.begin)
        loss = functional.cross_entropy(network(inputs), targets.view(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        progress = log.minutes() / options.minutes
        log.add(progress, step, rate, loss.item())


if __name__ == "__main__":
    main()
