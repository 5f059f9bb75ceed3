// A small generated model in a folder of its own, and what model tests ask of it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "dummy_models/generator.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"
#include "model/gguf.h"
#include "model/tensor_types.h"
#include "model/transformer.h"

namespace tritbench::test {

namespace fs = std::filesystem;

// A folder that goes with the test.
class Folder {
  public:
    Folder() {
        std::string name = (fs::temp_directory_path() / "tritbench-model-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
        path_ = name;
    }
    ~Folder() { fs::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    fs::path operator/(const std::string& name) const { return path_ / name; }

  private:
    fs::path path_;
};

inline ModelConfig small_config() {
    ModelConfig c;
    c.architecture = "bitnet-b1.58";
    c.name = "small";
    c.hidden = 160;  // K % 128 = 32: rows that straddle blocks
    c.ffn = 448;     // K % 128 = 64
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 40;
    c.vocab = 320;
    c.context = 128;
    return c;
}

inline fs::path generate(const Folder& folder, const ModelConfig& config, uint64_t seed = 5) {
    const fs::path path = folder / ("seed" + std::to_string(seed) + ".gguf");
    ThreadPool pool(1);
    DummyOptions options;
    options.config = config;
    options.seed = seed;
    generate_dummy(options, path, pool);
    return path;
}

// K in whole blocks of every format, and scales that a half can hold: rounded in the file.
inline fs::path generate_for_blocks(const Folder& folder) {
    ModelConfig config = small_config();
    config.hidden = 256;
    config.ffn = 512;
    config.head_dim = 64;
    const fs::path path = generate(folder, config, 8);
    std::vector<std::pair<uint64_t, float>> scales;
    {
        const GgufFile file(path);
        for (const GgufTensor& tensor : file.tensors()) {
            if (tensor.type != GgmlType::I2_S) continue;
            const auto at = tensor.file_offset + static_cast<uint64_t>(tensor.elements()) / 4;
            float scale = 0.0F;
            StoredMatrix(file, tensor).trits(0, 1, nullptr, &scale);
            scales.emplace_back(at, reference::nearest_half(scale));
        }
    }
    std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
    for (const auto& [at, scale] : scales) {
        out.seekp(static_cast<std::streamoff>(at));
        out.write(reinterpret_cast<const char*>(&scale), sizeof scale);
    }
    if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
    return path;
}

inline std::shared_ptr<const Model> load(const fs::path& path, const tb_kernel& kernel,
                                         ThreadPool& pool) {
    return Model::load(std::make_shared<const GgufFile>(path), kernel, pool);
}

inline std::vector<int32_t> some_tokens(size_t count, int64_t vocab) {
    std::mt19937 random(11);
    std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(vocab - 1));
    std::vector<int32_t> out(count);
    for (int32_t& t : out) t = token(random);
    return out;
}

inline std::vector<float> all_logits(const std::shared_ptr<const Model>& model,
                                     const tb_kernel& kernel, ThreadPool& pool,
                                     std::span<const int32_t> tokens, int64_t batch) {
    Session session(model, kernel, pool, static_cast<int64_t>(tokens.size()), batch);
    std::vector<float> out(tokens.size() * static_cast<size_t>(model->config().vocab));
    session.forward_all(tokens, out);
    return out;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

inline const tb_kernel& i2s() {
    return *find_kernel("i2s_scalar");
}

class ModelTest : public testing::Test {
  protected:
    ModelTest() : path(generate(folder, small_config())) {}

    // The error that loading gives; fails the test if there is none.
    std::string load_error(const fs::path& file, const tb_kernel& kernel = i2s()) {
        ThreadPool pool(2);
        try {
            load(file, kernel, pool);
        } catch (const Error& e) {
            EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
            return e.what();
        }
        ADD_FAILURE() << "the file was taken";
        return {};
    }

    // The small model, or where the kernel's format cannot hold its rows, one of whole blocks.
    const fs::path& path_for(const tb_kernel& kernel) {
        const tb_shape shape{small_config().hidden, small_config().hidden};
        const tb_tile tile = default_tile(kernel);
        if (kernel.accepts(&shape, &tile).code == TB_OK) return path;
        if (path_of_blocks.empty()) path_of_blocks = generate_for_blocks(folder);
        return path_of_blocks;
    }

    Folder folder;
    fs::path path;
    fs::path path_of_blocks;  // generated when asked for
};

}  // namespace tritbench::test
