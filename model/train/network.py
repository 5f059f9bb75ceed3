"""The BitNet b1.58 2B-4T decoder, as PyTorch trains it.

Every linear layer is a BitLinear: ternary weights, scaled by the mean of their absolute values;
activations of eight bits, scaled by the greatest of their token; gradients straight through both
roundings. Products run in bfloat16, which holds trits and eight-bit integers exactly.
"""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional


@dataclasses.dataclass
class Shape:
    vocabulary: int = 1024
    hidden: int = 256
    feed_forward: int = 768
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    context: int = 256
    rope_theta: float = 10000.0
    rms_eps: float = 1e-5

    @property
    def head(self):
        return self.hidden // self.heads


def ternary(weight):
    """(trits, scale): the weight is taken for trits * scale, scale = mean |weight|."""
    scale = weight.abs().mean().clamp(min=1e-5)
    return (weight * (1 / scale)).round().clamp(-1, 1), scale


def eight_bit(x):
    """(integers, scale): each token of x is taken for integers * scale."""
    scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5) / 127
    return (x / scale).round().clamp(-128, 127), scale


class BitProduct(torch.autograd.Function):
    """[x W0^T | x W1^T | ...] of quantised x [tokens, in] and quantised weights [out, in]."""

    @staticmethod
    def forward(context, x, product_type, *weights):
        integers, x_scale = eight_bit(x)
        trits, scales = zip(*(ternary(weight) for weight in weights))
        context.save_for_backward(
            (integers * x_scale).to(product_type),
            torch.cat([t * s for t, s in zip(trits, scales)]).to(product_type),
        )
        context.rows = [weight.shape[0] for weight in weights]
        products = functional.linear(
            integers.to(product_type), torch.cat(trits).to(product_type)
        ).float()
        for part, scale in zip(products.split(context.rows, dim=-1), scales):
            part.mul_(x_scale * scale)
        return products

    @staticmethod
    def backward(context, gradient):
        x, weights = context.saved_tensors
        gradient = gradient.to(x.dtype)
        of_weights = (gradient.t() @ x).float()
        return (gradient @ weights).float(), None, *of_weights.split(context.rows)


class RmsProduct(torch.autograd.Function):
    """x / rms(x) * weight, with fewer passes over memory than autograd would make."""

    @staticmethod
    def forward(context, x, weight, eps):
        inverse = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        unit = x * inverse
        context.save_for_backward(unit, inverse, weight)
        return unit * weight

    @staticmethod
    def backward(context, gradient):
        unit, inverse, weight = context.saved_tensors
        of_unit = gradient * unit
        of_weight = of_unit.sum(0)
        of_unit.mul_(weight)
        common = of_unit.mean(-1, keepdim=True)
        of_x = (gradient * weight).addcmul_(unit, common, value=-1).mul_(inverse)
        return of_x, of_weight, None


class SquaredReluProduct(torch.autograd.Function):
    """relu(gate)^2 * up"""

    @staticmethod
    def forward(context, gate, up):
        positive = gate.clamp(min=0)
        context.save_for_backward(positive, up)
        return positive.square().mul_(up)

    @staticmethod
    def backward(context, gradient):
        positive, up = context.saved_tensors
        half = gradient * positive
        return (half * up).mul_(2), half.mul_(positive)


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return RmsProduct.apply(x, self.weight, self.eps)


def rope_tables(shape):
    frequency = shape.rope_theta ** (-torch.arange(0, shape.head, 2).double() / shape.head)
    angle = torch.arange(shape.context).double()[:, None] * frequency
    return angle.cos().float(), angle.sin().float()


def rotate(x, cosine, sine):
    """RoPE of x [batch, heads, tokens, head]: element i is paired with i + head / 2 (NEOX)."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat([low * cosine - high * sine, high * cosine + low * sine], dim=-1)


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        hidden, feed_forward = shape.hidden, shape.feed_forward
        kv = shape.kv_heads * shape.head

        def matrix(rows, columns, std):
            return nn.Parameter(torch.randn(rows, columns) * std)

        to_residual = 0.02 / math.sqrt(2 * shape.layers)
        self.attn_norm = RmsNorm(hidden, shape.rms_eps)
        self.q, self.k, self.v = (matrix(rows, hidden, 0.02) for rows in (hidden, kv, kv))
        self.attn_sub_norm = RmsNorm(hidden, shape.rms_eps)
        self.o = matrix(hidden, hidden, to_residual)
        self.ffn_norm = RmsNorm(hidden, shape.rms_eps)
        self.gate, self.up = (matrix(feed_forward, hidden, 0.02) for _ in range(2))
        self.ffn_sub_norm = RmsNorm(feed_forward, shape.rms_eps)
        self.down = matrix(hidden, feed_forward, to_residual)

    def attention(self, x, batch, rope, mask, product_type):
        shape, tokens = self.shape, x.shape[0] // batch
        qkv = BitProduct.apply(x, product_type, self.q, self.k, self.v)
        heads = qkv.view(batch, tokens, -1, shape.head).transpose(1, 2)
        q, k, v = heads.split([shape.heads, shape.kv_heads, shape.kv_heads], dim=1)
        group = shape.heads // shape.kv_heads
        q = rotate(q, *rope).to(product_type)
        k = rotate(k, *rope).to(product_type).repeat_interleave(group, dim=1)
        v = v.to(product_type).repeat_interleave(group, dim=1)
        scores = (q @ k.transpose(2, 3)).float() / math.sqrt(shape.head) + mask
        mixed = scores.softmax(dim=-1).to(product_type) @ v
        return mixed.float().transpose(1, 2).reshape(batch * tokens, shape.hidden)

    def forward(self, x, batch, rope, mask, product_type, observe):
        mixed = self.attention(self.attn_norm(x), batch, rope, mask, product_type)
        x = x + BitProduct.apply(self.attn_sub_norm(mixed), product_type, self.o)
        gate, up = BitProduct.apply(self.ffn_norm(x), product_type, self.gate, self.up).chunk(2, -1)
        active = self.ffn_sub_norm(SquaredReluProduct.apply(gate, up))
        if observe:
            observe(active)
        return x + BitProduct.apply(active, product_type, self.down)


class Network(nn.Module):
    """Token ids [batch, tokens] to logits [batch * tokens, vocabulary]; embedding and head are one."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.randn(shape.vocabulary, shape.hidden) * 0.02)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = RmsNorm(shape.hidden, shape.rms_eps)
        cosine, sine = rope_tables(shape)
        mask = torch.full((shape.context, shape.context), -math.inf).triu(1)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, tokens, product_type=torch.bfloat16, observe=None):
        batch, length = tokens.shape
        rope = self.cosine[:length], self.sine[:length]
        mask = self.mask[:length, :length]
        x = functional.embedding(tokens.reshape(-1), self.embedding)
        for block in self.blocks:
            x = block(x, batch, rope, mask, product_type, observe)
        x = self.output_norm(x).to(product_type)
        return functional.linear(x, self.embedding.to(product_type)).float()


def as_exported(network):
    """The network with parameters rounded to bfloat16, as its checkpoint holds them."""
    rounded = Network(network.shape)
    rounded.load_state_dict(
        {name: value.to(torch.bfloat16).float() for name, value in network.state_dict().items()}
    )
    return rounded.eval()
