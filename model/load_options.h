// What a GGUF file leaves unsaid about its own bytes, and whoever loads it may say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tritbench {

// Three layouts share the type id of I2_S, and nothing in a file tells them apart: bitnet.cpp
// writes another one for each way it was compiled (src/ggml-bitnet-mad.cpp, quantize_i2_s). All
// published files are X86.
enum class I2sLayout {
    X86,  // blocks of 128 of the flattened tensor: i2s_tensor.h
    Arm,  // blocks of 64
    Row4  // four rows in a byte
};

// "x86", "arm" or "row4". Throws Error on anything else.
I2sLayout parse_i2s_layout(std::string_view text);
std::string_view i2s_layout_name(I2sLayout layout);

// The tile that bitnet.cpp packed the TL1 and TL2 tensors of one shape with: its names.
struct TlTile {
    int64_t n = 0, k = 0;  // m and k of the file: rows and columns of W
    int32_t BM = 0, BK = 0, bm = 0;
};

// bitnet.cpp's include/kernel_config.ini: sections of m, bm, k, bk, bmm. Throws Error naming file,
// line and what was expected.
std::vector<TlTile> read_kernel_config(const std::filesystem::path& path);

// The type that the LM head shall be multiplied in, as the name of its layout: "f32", "f16",
// "bf16", "q8_0", "q6_k", "q4_0" or "q8_row"; "" for "stored", or nothing. Throws Error on anything
// else.
std::string parse_head(std::string_view text);

// Part of a model's layers, for sizes that memory cannot hold: layer i has the weights of layer
// i % distinct. 0: all of them.
struct LayerWindow {
    int64_t distinct = 0;  // layers with weights of their own: the first ones
    int64_t run = 0;       // layers of a forward pass; fewer than all make another model of it
};

struct LoadOptions {
    I2sLayout i2s = I2sLayout::X86;
    // For TL1 and TL2 tensors without tile keys (tensor_types.h); looked up by shape.
    std::vector<TlTile> tl_tiles;
    // As parse_head has it; "": as the file stores it. The embedding stays as it is stored.
    std::string head;
    LayerWindow window;
};

}  // namespace tritbench
