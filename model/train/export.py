#!/usr/bin/env python3
"""Writes the checkpoint as a Hugging Face folder that `tritbench convert` reads.

    python3 export.py OUT FOLDER

OUT is the folder of train.py. FOLDER gets config.json, tokenizer.json, tokenizer_config.json and
model.safetensors: master weights in bfloat16, which the reader makes ternary ("online"). Beside them
the held-out text that the project's tests score, excerpt.txt, and its token ids.
"""

import argparse
import json
import pathlib
import shutil
import struct

import torch

import bpe
import corpus
import evaluate
import train


def layer_tensors(prefix, block):
    return {
        f"{prefix}.input_layernorm.weight": block.attn_norm.weight,
        f"{prefix}.self_attn.q_proj.weight": block.q,
        f"{prefix}.self_attn.k_proj.weight": block.k,
        f"{prefix}.self_attn.v_proj.weight": block.v,
        f"{prefix}.self_attn.attn_sub_norm.weight": block.attn_sub_norm.weight,
        f"{prefix}.self_attn.o_proj.weight": block.o,
        f"{prefix}.post_attention_layernorm.weight": block.ffn_norm.weight,
        f"{prefix}.mlp.gate_proj.weight": block.gate,
        f"{prefix}.mlp.up_proj.weight": block.up,
        f"{prefix}.mlp.ffn_sub_norm.weight": block.ffn_sub_norm.weight,
        f"{prefix}.mlp.down_proj.weight": block.down,
    }


def write_safetensors(path, tensors):
    """8 bytes of header length, the header, the values (bfloat16, little-endian)."""
    header, begin = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors.items():
        end = begin + 2 * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": [*tensor.shape], "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.detach().to(torch.bfloat16).view(torch.int16).numpy().tobytes())


def config_of(shape, tokenizer):
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.context,
        "hidden_act": "relu2",
        "rms_norm_eps": shape.rms_eps,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.begin,
        "eos_token_id": tokenizer.end,
        "torch_dtype": "bfloat16",
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "online",
        },
    }


def activation_zeros(network, tokenizer):
    """What `tritbench info` tells of the trained model: see evaluate.py."""
    held_out = train.tokenized(tokenizer, corpus.split()[1])
    zeros = evaluate.zero_activations(network, held_out, tokenizer.begin)
    return [round(layer, 4) for layer in zeros.after_eight_bits()]


def write_json(path, document):
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trained", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    network, _ = train.load(options.trained / "checkpoint.pt")
    options.folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(options.trained / "tokenizer.json", options.folder / "tokenizer.json")
    tokenizer = bpe.Tokenizer.load(options.folder / "tokenizer.json")
    config = config_of(network.shape, tokenizer)
    config["ffn_down_zeros"] = activation_zeros(network, tokenizer)
    write_json(options.folder / "config.json", config)
    write_json(options.folder / "tokenizer_config.json",
               {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True,
                "bos_token": bpe.BEGIN, "eos_token": bpe.END})
    excerpt = corpus.excerpt()
    (options.folder / "excerpt.txt").write_text(excerpt, encoding="utf-8")
    ids = " ".join(map(str, tokenizer.encode(excerpt)))
    (options.folder / "excerpt_tokens.txt").write_text(ids + "\n", encoding="ascii")
    tensors = {"model.embed_tokens.weight": network.embedding,
               "model.norm.weight": network.output_norm.weight}
    for index, block in enumerate(network.blocks):
        tensors.update(layer_tensors(f"model.layers.{index}", block))
    write_safetensors(options.folder / "model.safetensors", tensors)


if __name__ == "__main__":
    main()
