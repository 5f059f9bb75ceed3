// Dummy models to the byte: one small file in each format, whose SHA-256 is in
// data/dummy_sha256.txt. It is the same from every compiler, instruction set and number of threads,
// and another one means another model by the same name: then kDummyVersion must be raised.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "dummy_models/generator.h"
#include "kernels/api/registry.h"
#include "tests/gguf_bytes.h"
#include "tests/sha256.h"

namespace tritbench {
namespace {

using testing::read_bytes;
using testing::sha256;
using testing::TempFolder;

// What `tritbench gen --hidden 256 --ffn 768 --layers 2 --heads 4 --kv-heads 2 --vocab 320
// --context 64` makes.
DummyOptions pinned_options() {
    DummyOptions options;
    ModelConfig& c = options.config;
    c.architecture = "bitnet-b1.58";
    c.name = "dummy-256x768x2";
    c.hidden = 256;
    c.ffn = 768;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 64;
    c.vocab = 320;
    c.context = 64;
    return options;
}

struct Pin {
    std::string linear, embedding, digest;
};

std::vector<Pin> pins() {
    std::ifstream file(TRITBENCH_SOURCE_DIR "/tests/data/dummy_sha256.txt");
    std::vector<Pin> found;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') continue;
        Pin pin;
        std::istringstream(line) >> pin.linear >> pin.embedding >> pin.digest;
        found.push_back(pin);
    }
    return found;
}

TEST(Sha256, OfThePublishedExamplesIsThePublishedOne) {
    EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(sha256(std::string(1000000, 'a')),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(DummyBytes, ArePinnedInEveryFormat) {
    const TempFolder folder;
    for (const Pin& pin : pins()) {
        SCOPED_TRACE(pin.linear + " " + pin.embedding);
        DummyOptions options = pinned_options();
        parse_linear_formats(pin.linear, options.formats);
        if (pin.embedding != "f16") options.formats.embedding = parse_format(pin.embedding);
        for (const int threads : {1, 3}) {
            ThreadPool pool(threads, {}, false);
            ASSERT_TRUE(generate_dummy(options, folder / "m", pool));
            EXPECT_EQ(sha256(read_bytes(folder / "m")), pin.digest) << threads << " threads";
        }
    }
}

TEST(DummyBytes, NoFormatIsForgotten) {
    std::set<std::string> linear, embedding;
    for (const Pin& pin : pins()) {
        linear.insert(pin.linear);
        embedding.insert(pin.embedding);
    }
    for (const tb_kernel* kernel : all_kernels()) {
        const std::string name =
            std::string_view(kernel->layout) == "i2s" ? "i2_s" : kernel->layout;
        if (kernel->weight_kind != TB_WEIGHT_QUANTISED) {
            EXPECT_EQ(linear.count(name), 1U) << name;
        }
        if (kernel->weight_kind != TB_WEIGHT_TERNARY) {
            EXPECT_EQ(embedding.count(name), 1U) << name;
        }
    }
}

}  // namespace
}  // namespace tritbench
