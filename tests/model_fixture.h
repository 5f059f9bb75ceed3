// A small generated model in a folder of its own, and what model tests ask of it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "dummy_models/generator.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
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

    Folder folder;
    fs::path path;
};

}  // namespace tritbench::test
