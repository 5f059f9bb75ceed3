// The model: bits that do not depend on how they are computed, and files that are refused.
// That the numbers are the right ones is shown against NumPy: tests/python.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "dummy_models/generator.h"
#include "kernels/api/error.h"
#include "kernels/api/half.h"
#include "kernels/api/registry.h"
#include "model/transformer.h"
#include "tests/allocation_count.h"

namespace tritbench {
namespace {

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

ModelConfig small_config() {
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

fs::path generate(const Folder& folder, const ModelConfig& config, uint64_t seed = 5) {
    const fs::path path = folder / ("seed" + std::to_string(seed) + ".gguf");
    ThreadPool pool(1);
    DummyOptions options;
    options.config = config;
    options.seed = seed;
    generate_dummy(options, path, pool);
    return path;
}

std::shared_ptr<const Model> load(const fs::path& path, const tb_kernel& kernel, ThreadPool& pool) {
    return Model::load(std::make_shared<const GgufFile>(path), kernel, pool);
}

std::vector<int32_t> some_tokens(size_t count, int64_t vocab) {
    std::mt19937 random(11);
    std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(vocab - 1));
    std::vector<int32_t> out(count);
    for (int32_t& t : out) t = token(random);
    return out;
}

std::vector<float> all_logits(const std::shared_ptr<const Model>& model, const tb_kernel& kernel,
                              ThreadPool& pool, std::span<const int32_t> tokens, int64_t batch) {
    Session session(model, kernel, pool, static_cast<int64_t>(tokens.size()), batch);
    std::vector<float> out(tokens.size() * static_cast<size_t>(model->config().vocab));
    session.forward_all(tokens, out);
    return out;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

const tb_kernel& i2s() {
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

TEST_F(ModelTest, LogitsAreTheSameBitsForEveryExactKernelThreadsAndBatch) {
    const std::vector<int32_t> tokens = some_tokens(41, 320);
    ThreadPool one(1);
    const std::vector<float> expected = all_logits(load(path, i2s(), one), i2s(), one, tokens, 41);
    for (const float v : expected) ASSERT_TRUE(std::isfinite(v));
    EXPECT_NE(expected.front(), expected.back());
    int kernels = 0;
    for (const tb_kernel* kernel : all_kernels()) {
        if (kernel->exactness != TB_EXACT || !runs_here(*kernel)) continue;
        ++kernels;
        for (const int threads : {1, 2, 3}) {
            ThreadPool pool(threads);
            const auto model = load(path, *kernel, pool);
            for (const int64_t batch : {1, 2, 7, 41}) {
                EXPECT_TRUE(same_bits(all_logits(model, *kernel, pool, tokens, batch), expected))
                    << kernel->id << ", " << threads << " threads, batches of " << batch;
            }
        }
    }
    EXPECT_GE(kernels, 2);
}

// Long enough for attention and norms to be split over workers as well.
TEST_F(ModelTest, LongPromptsAreTheSameBits) {
    const std::vector<int32_t> tokens = some_tokens(128, 320);
    ThreadPool one(1);
    ThreadPool three(3);
    const auto model = load(path, i2s(), one);
    const std::vector<float> expected = all_logits(model, i2s(), one, tokens, 1);
    EXPECT_TRUE(same_bits(all_logits(model, i2s(), three, tokens, 128), expected));
    EXPECT_TRUE(same_bits(all_logits(model, i2s(), three, tokens, 50), expected));
}

TEST_F(ModelTest, ForwardGivesTheLastRow) {
    const std::vector<int32_t> tokens = some_tokens(20, 320);
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    const std::vector<float> rows = all_logits(model, i2s(), pool, tokens, 20);
    Session session(model, i2s(), pool, 32, 8);
    const std::span<const float> expected = std::span(rows).last(320);
    EXPECT_TRUE(same_bits(session.forward(tokens), expected));
    EXPECT_EQ(session.position(), 20);

    session.reset();
    EXPECT_EQ(session.position(), 0);
    EXPECT_TRUE(same_bits(session.forward(tokens), expected));

    // What came after a truncation leaves no trace.
    session.truncate(13);
    session.forward(some_tokens(3, 100));
    session.truncate(13);
    EXPECT_EQ(session.position(), 13);
    EXPECT_TRUE(same_bits(session.forward(std::span(tokens).subspan(13)), expected));
}

TEST_F(ModelTest, SessionsOfOneModelAreIndependent) {
    const std::vector<int32_t> tokens = some_tokens(12, 320);
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    const std::vector<float> rows = all_logits(model, i2s(), pool, tokens, 12);
    Session a(model, i2s(), pool, 32, 8);
    Session b(model, i2s(), pool, 16, 1);
    for (size_t i = 0; i < tokens.size(); ++i) {
        const std::span<const float> row = std::span(rows).subspan(i * 320, 320);
        EXPECT_TRUE(same_bits(a.forward(std::span(tokens).subspan(i, 1)), row));
        EXPECT_TRUE(same_bits(b.forward(std::span(tokens).subspan(i, 1)), row));
    }
}

TEST_F(ModelTest, FloatKernelsAreCloseAndTheSameAmongThemselves) {
    const std::vector<int32_t> tokens = some_tokens(9, 320);
    ThreadPool pool(2);
    const std::vector<float> exact = all_logits(load(path, i2s(), pool), i2s(), pool, tokens, 9);
    std::vector<float> first;
    for (const tb_kernel* kernel : all_kernels()) {
        if (std::string_view(kernel->layout) != "f16" || !runs_here(*kernel)) continue;
        const auto model = load(path, *kernel, pool);
        EXPECT_GT(model->packed_bytes_owned(), 0U);
        const std::vector<float> found = all_logits(model, *kernel, pool, tokens, 9);
        if (first.empty()) first = found;
        EXPECT_TRUE(same_bits(found, first)) << kernel->id;
        double error = 0;
        double size = 0;
        for (size_t i = 0; i < exact.size(); ++i) {
            error += std::pow(double{found[i]} - double{exact[i]}, 2);
            size += std::pow(double{exact[i]}, 2);
        }
        // Activations of float kernels are not quantised: near, but another model.
        EXPECT_LT(error / size, 0.02) << kernel->id;
        EXPECT_GT(error, 0.0);
    }
    EXPECT_FALSE(first.empty());
}

TEST_F(ModelTest, StaysMappedWhereTheFileHasTheLayout) {
    ThreadPool pool(2);
    const auto file = std::make_shared<const GgufFile>(path);
    uint64_t last = 0;
    uint64_t total = 0;
    const auto model = Model::load(file, i2s(), pool, [&](uint64_t done, uint64_t all) {
        EXPECT_GT(done, last);
        last = done;
        total = all;
    });
    EXPECT_EQ(last, total);
    EXPECT_EQ(model->packed_bytes_owned(), 0U);
    EXPECT_EQ(model->linear_bytes(), total);
    const ModelConfig& c = model->config();
    const auto linear = static_cast<uint64_t>(
        c.layers * c.hidden * (2 * c.hidden + 2 * c.kv_heads * c.head_dim + 3 * c.ffn));
    EXPECT_EQ(model->linear_parameters(), linear);
    EXPECT_EQ(model->linear_bytes(), linear / 4 + static_cast<uint64_t>(c.layers) * 7 * 32);
    EXPECT_EQ(model->head_bytes(), static_cast<uint64_t>(c.hidden * c.vocab * 2));
    EXPECT_EQ(model->parameters(),
              linear + static_cast<uint64_t>(c.hidden * c.vocab + c.hidden +
                                             c.layers * (3 * c.hidden + c.ffn)));
    for (const auto& [name, weights] : model->linears()) {
        EXPECT_EQ(weights->bytes.data(), file->find_tensor(name)->data) << name;
    }
}

TEST_F(ModelTest, CanonicalRowsAreThePackedWeights) {
    ThreadPool pool(2);
    for (const tb_kernel* kernel : all_kernels()) {
        if (kernel->weight_kind != TB_WEIGHT_TERNARY || !runs_here(*kernel)) continue;
        const auto model = load(path, *kernel, pool);
        ASSERT_EQ(model->linears().size(), 14U);
        for (const auto& [name, w] : model->linears()) {
            const auto size = static_cast<size_t>(w->shape.n * w->shape.k);
            std::vector<int8_t> packed(size), canonical(size);
            std::vector<float> scales(static_cast<size_t>(w->shape.n));
            std::vector<float> scale(1);
            const tb_weights_out out{packed.data(), nullptr, w->shape.k, scales.data()};
            ASSERT_EQ(
                kernel->unpack(&w->shape, &w->tile, w->bytes.data(), 0, w->shape.n, &out).code,
                TB_OK);
            model->canonical_rows(name)(0, w->shape.n, canonical.data(), nullptr, scale.data());
            EXPECT_EQ(packed, canonical) << kernel->id << " " << name;
            EXPECT_EQ(scales[0], scale[0]) << kernel->id << " " << name;
            std::set<int> values(packed.begin(), packed.end());
            EXPECT_EQ(values, (std::set<int>{-1, 0, 1})) << name;
        }
        EXPECT_THROW(model->canonical_rows("token_embd.weight"), Error);
    }
}

TEST_F(ModelTest, DecodingAllocatesNothing) {
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    Session session(model, i2s(), pool, 64, 16);
    const std::vector<int32_t> tokens = some_tokens(40, 320);
    session.forward(std::span(tokens).first(16));
    const uint64_t before = test::allocations();
    for (size_t i = 16; i < 30; ++i) session.forward(std::span(tokens).subspan(i, 1));
    session.forward(std::span(tokens).subspan(30));
    EXPECT_EQ(test::allocations(), before);
}

TEST_F(ModelTest, TheObserverSeesEveryRoleBeginAndEnd) {
    struct Seen {
        std::vector<int> begun = std::vector<int>(8), ended = std::vector<int>(8);
        int open = 0, deepest = 0;
    } seen;
    Observer observer;
    observer.begin = [](void* context, Role role) {
        auto* s = static_cast<Seen*>(context);
        ++s->begun[static_cast<size_t>(role)];
        s->deepest = std::max(s->deepest, ++s->open);
    };
    observer.end = [](void* context, Role role) {
        auto* s = static_cast<Seen*>(context);
        ++s->ended[static_cast<size_t>(role)];
        --s->open;
    };
    observer.context = &seen;
    ThreadPool pool(2);
    const auto model = load(path, i2s(), pool);
    Session session(model, i2s(), pool, 16, 4);
    session.observe(observer);
    session.forward(some_tokens(7, 320));  // batches of 4 and 3
    EXPECT_EQ(seen.begun, seen.ended);
    EXPECT_EQ(seen.open, 0);
    EXPECT_EQ(seen.deepest, 1);
    const auto count = [&](Role role) { return seen.begun[static_cast<size_t>(role)]; };
    EXPECT_EQ(count(Role::Embed), 2);
    EXPECT_EQ(count(Role::Attention), 2 * 2);
    EXPECT_EQ(count(Role::Activation), 2 * 2);
    EXPECT_EQ(count(Role::Product), 2 * 2 * 4);
    EXPECT_EQ(count(Role::Prepare), 2 * 2 * 4);
    EXPECT_EQ(count(Role::Norm), 2 * 2 * 4 + 1);
    EXPECT_EQ(count(Role::Head), 1);
}

TEST_F(ModelTest, SessionsRefuseWhatDoesNotFit) {
    ThreadPool pool(1);
    const auto model = load(path, i2s(), pool);
    EXPECT_THROW(Session(model, i2s(), pool, 0, 1), Error);
    EXPECT_THROW(Session(model, i2s(), pool, 129, 1), Error);
    EXPECT_THROW(Session(model, i2s(), pool, 16, 0), Error);
    EXPECT_THROW(Session(model, *find_kernel("int8_scalar"), pool, 16, 4), Error);
    Session session(model, i2s(), pool, 16, 4);
    EXPECT_THROW(session.forward({}), Error);
    EXPECT_THROW(session.forward(std::vector<int32_t>{1, 320}), Error);
    EXPECT_THROW(session.forward(std::vector<int32_t>{-1}), Error);
    EXPECT_THROW(session.forward(some_tokens(17, 320)), Error);
    EXPECT_EQ(session.position(), 0);
    session.forward(some_tokens(16, 320));
    EXPECT_THROW(session.forward(some_tokens(1, 320)), Error);
    EXPECT_EQ(session.position(), 16);
    EXPECT_THROW(session.truncate(17), Error);
    EXPECT_THROW(session.truncate(-1), Error);
    std::vector<float> small(319);
    session.reset();
    EXPECT_THROW(session.forward_all(some_tokens(1, 320), small), Error);
}

// ---- files ------------------------------------------------------------------------------------

struct NewTensor {
    std::string name;
    GgmlType type;
    std::vector<int64_t> ne;
    std::vector<std::byte> data;
};

// Copies a file, each tensor as `change` wants it (nothing: left out).
template <class Change>
void rewrite(const fs::path& from, const fs::path& to, Change change,
             const std::vector<NewTensor>& extra = {}) {
    const GgufFile file(from);
    GgufWriter writer(to);
    for (const auto& [key, value] : file.metadata()) {
        if (key == "general.alignment") continue;
        if (const auto* u = std::get_if<uint64_t>(&value)) {
            writer.set_u32(key, static_cast<uint32_t>(*u));
        } else if (const auto* d = std::get_if<double>(&value)) {
            writer.set_f32(key, static_cast<float>(*d));
        } else if (const auto* b = std::get_if<bool>(&value)) {
            writer.set_bool(key, *b);
        } else if (const auto* t = std::get_if<std::string>(&value)) {
            writer.set_text(key, *t);
        }
    }
    std::vector<NewTensor> tensors;
    for (const GgufTensor& t : file.tensors()) {
        std::optional<NewTensor> changed =
            change(NewTensor{t.name, t.type, t.ne, {t.data, t.data + t.bytes}});
        if (changed) tensors.push_back(std::move(*changed));
    }
    tensors.insert(tensors.end(), extra.begin(), extra.end());
    for (const NewTensor& t : tensors) writer.add_tensor(t.name, t.type, t.ne);
    writer.begin();
    for (const NewTensor& t : tensors) writer.write(t.data);
    writer.finish();
}

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    return {bytes, bytes + values.size() * sizeof(float)};
}

// Changes one tensor by `change(NewTensor&) -> bool`, false to leave it out.
class Corrupt : public ModelTest {
  protected:
    template <class Change>
    std::string error_with(const std::string& name, Change change) {
        const fs::path to = folder / "changed.gguf";
        rewrite(path, to, [&](NewTensor t) -> std::optional<NewTensor> {
            if (t.name == name && !change(t)) return std::nullopt;
            return t;
        });
        const std::string error = load_error(to);
        EXPECT_NE(error.find(name), std::string::npos) << error;
        EXPECT_NE(error.find("changed.gguf"), std::string::npos) << error;
        return error;
    }
};

TEST_F(Corrupt, ARewrittenFileGivesTheSameLogits) {
    const fs::path to = folder / "copy.gguf";
    rewrite(path, to, [](NewTensor t) { return std::optional(std::move(t)); });
    ThreadPool pool(1);
    const std::vector<int32_t> tokens = some_tokens(5, 320);
    EXPECT_TRUE(same_bits(all_logits(load(path, i2s(), pool), i2s(), pool, tokens, 5),
                          all_logits(load(to, i2s(), pool), i2s(), pool, tokens, 5)));
}

TEST_F(Corrupt, MissingTensors) {
    for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight",
                             "blk.0.attn_sub_norm.weight", "blk.1.ffn_sub_norm.weight",
                             "blk.1.ffn_down.weight", "blk.1.attn_output.weight"}) {
        const std::string error = error_with(name, [](NewTensor&) { return false; });
        EXPECT_NE(error.find("missing"), std::string::npos) << error;
    }
}

TEST_F(Corrupt, WrongShape) {
    const std::string error = error_with("blk.1.attn_k.weight", [](NewTensor& t) {
        std::swap(t.ne[0], t.ne[1]);
        return true;
    });
    EXPECT_NE(error.find("[80, 160]"), std::string::npos) << error;
    EXPECT_NE(error.find("[160, 80]"), std::string::npos) << error;
}

TEST_F(Corrupt, WrongType) {
    const std::string error = error_with("blk.0.ffn_norm.weight", [](NewTensor& t) {
        t.type = GgmlType::I32;
        return true;
    });
    EXPECT_NE(error.find("f32 or f16"), std::string::npos) << error;
}

TEST_F(Corrupt, InvalidCodes) {
    for (const size_t at : {size_t{0}, size_t{1001}, size_t{160 * 160 / 4 - 1}}) {
        const auto spoil = [at](NewTensor& t) {
            t.data[at] = std::byte{0x30};  // a code 3 among codes 0
            return true;
        };
        const std::string error = error_with("blk.1.attn_q.weight", spoil);
        EXPECT_NE(error.find("code 3"), std::string::npos) << error;
        const std::string packed = load_error(folder / "changed.gguf", *find_kernel("int8_scalar"));
        EXPECT_NE(packed.find("blk.1.attn_q.weight"), std::string::npos) << packed;
    }
}

TEST_F(Corrupt, ScalesThatAreNotPositiveNumbers) {
    for (const float scale : {0.0F, -1.0F, std::nanf(""), HUGE_VALF}) {
        const std::string error = error_with("blk.0.ffn_up.weight", [scale](NewTensor& t) {
            std::memcpy(t.data.data() + 160 * 448 / 4, &scale, sizeof scale);
            return true;
        });
        EXPECT_NE(error.find("scale"), std::string::npos) << error;
    }
}

TEST_F(Corrupt, NormsThatAreNotFinite) {
    error_with("blk.0.attn_sub_norm.weight", [](NewTensor& t) {
        const float nan = std::nanf("");
        std::memcpy(t.data.data() + 12, &nan, sizeof nan);
        return true;
    });
}

TEST_F(Corrupt, TensorsThatTheGraphDoesNotUse) {
    const auto keep = [](NewTensor t) { return std::optional(std::move(t)); };
    const fs::path to = folder / "extra.gguf";
    rewrite(path, to, keep,
            {{"blk.0.attn_q.bias", GgmlType::F32, {160}, bytes_of(std::vector<float>(160))}});
    EXPECT_NE(load_error(to).find("blk.0.attn_q.bias"), std::string::npos);
    rewrite(path, to, keep, {{"blk.0.attn_q.scale", GgmlType::F32, {1}, bytes_of({0.5F})}});
    EXPECT_NE(load_error(to).find("blk.0.attn_q.scale"), std::string::npos);
    rewrite(path, to, keep, {{"blk.0.attn_q.scale", GgmlType::F32, {1}, bytes_of({1.0F})}});
    ThreadPool pool(1);
    EXPECT_NE(load(to, i2s(), pool), nullptr);
}

TEST_F(Corrupt, EmbeddingAndNormsMayBeOfTheOtherFloatType) {
    const fs::path to = folder / "types.gguf";
    rewrite(path, to, [](NewTensor t) {
        if (t.name == "token_embd.weight") {
            std::vector<float> wide(t.data.size() / 2);
            const auto* halves = reinterpret_cast<const uint16_t*>(t.data.data());
            for (size_t i = 0; i < wide.size(); ++i) wide[i] = tb_half_to_float(halves[i]);
            t.type = GgmlType::F32;
            t.data = bytes_of(wide);
        } else if (t.type == GgmlType::F32) {  // norms: multiples of 1/64, exact in half
            std::vector<uint16_t> halves(t.data.size() / 4);
            const auto* wide = reinterpret_cast<const float*>(t.data.data());
            for (size_t i = 0; i < halves.size(); ++i) halves[i] = tb_float_to_half(wide[i]);
            t.type = GgmlType::F16;
            const auto* bytes = reinterpret_cast<const std::byte*>(halves.data());
            t.data.assign(bytes, bytes + halves.size() * 2);
        }
        return std::optional(std::move(t));
    });
    ThreadPool pool(2);
    const std::vector<int32_t> tokens = some_tokens(5, 320);
    EXPECT_TRUE(same_bits(all_logits(load(path, i2s(), pool), i2s(), pool, tokens, 5),
                          all_logits(load(to, i2s(), pool), i2s(), pool, tokens, 5)));
}

TEST_F(ModelTest, SeparateHeadIsUsed) {
    ModelConfig config = small_config();
    config.tied_head = false;
    const fs::path separate = generate(folder, config, 6);
    ThreadPool pool(2);
    const auto model = load(separate, i2s(), pool);
    EXPECT_FALSE(model->config().tied_head);
    const auto tied = load(path, i2s(), pool);
    EXPECT_EQ(model->parameters(), tied->parameters() + 160 * 320);
    // With the head's rows zeroed, the logits are: it is the head that is multiplied.
    const fs::path zeroed = folder / "zeroed.gguf";
    rewrite(separate, zeroed, [](NewTensor t) {
        if (t.name == "output.weight") std::fill(t.data.begin(), t.data.end(), std::byte{0});
        return std::optional(std::move(t));
    });
    const std::vector<int32_t> tokens = some_tokens(3, 320);
    for (const float v : all_logits(load(zeroed, i2s(), pool), i2s(), pool, tokens, 3)) {
        EXPECT_EQ(v, 0.0F);
    }
    EXPECT_NE(all_logits(model, i2s(), pool, tokens, 3)[0], 0.0F);
}

}  // namespace
}  // namespace tritbench
