// Dummy models in every format: pieces against tensors packed as a whole, formats by role, shares
// of signs and scales, vocabularies, and what is refused.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

#include "dummy_models/draw_tables.h"
#include "dummy_models/metadata.h"
#include "dummy_models/pieces.h"
#include "dummy_models/rows.h"
#include "kernels/api/cpu.h"
#include "kernels/api/half.h"
#include "kernels/api/registry.h"
#include "model/random.h"
#include "model/ternary_matrix.h"
#include "tests/gguf_bytes.h"

namespace tritbench {
namespace {

using testing::error_of;
using testing::read_bytes;
using testing::TempFolder;
using Kind = DummyTensor::Kind;

ModelConfig small_config() {
    ModelConfig c;
    c.architecture = "bitnet-b1.58";
    c.name = "small";
    c.hidden = 256;
    c.ffn = 768;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 64;
    c.vocab = 515;
    c.context = 64;
    return c;
}

// All bytes of a tensor from its pieces, the last first; fails unless each is put exactly once.
std::string from_pieces(const TensorPieces& pieces, size_t size) {
    std::string bytes(size, '\xAA');
    std::vector<int> puts(size);
    PieceBuffers buffers;
    for (uint64_t i = pieces.count(); i-- > 0;) {
        pieces.make(i, buffers, [&](uint64_t offset, std::span<const std::byte> part) {
            ASSERT_LE(offset + part.size(), size);
            std::memcpy(&bytes[offset], part.data(), part.size());
            for (size_t j = 0; j < part.size(); ++j) ++puts[offset + j];
        });
        const size_t used = buffers.trits.size() + buffers.values.size() * 4 + buffers.bytes.size();
        EXPECT_LE(used, pieces.buffer_bytes());
    }
    EXPECT_EQ(std::count(puts.begin(), puts.end(), 1), static_cast<ptrdiff_t>(size));
    return bytes;
}

void expect_pieces_are_the_tensor(const MatrixFormat& format, tb_shape shape, bool ternary,
                                  uint64_t most_pieces = UINT64_MAX) {
    SCOPED_TRACE(format_name(format) + " " + std::to_string(shape.n) + " x " +
                 std::to_string(shape.k));
    const DummyOptions options{small_config(), 3};
    const DummyTensor tensor{
        "blk.0.ffn_up.weight", ternary ? Kind::Ternary : Kind::Embedding, 21, {shape.k, shape.n}};
    ThreadPool pool(2, {}, false);
    const PackedWeights whole = encode_tensor(pool, format, shape, dummy_rows(options, tensor));
    const auto pieces = packed_pieces(options, tensor, format);
    EXPECT_GT(pieces->count(), most_pieces == 1 ? 0U : 1U);
    EXPECT_LE(pieces->count(), most_pieces);
    const std::string bytes = from_pieces(*pieces, whole.bytes.size());
    EXPECT_TRUE(std::memcmp(bytes.data(), whole.bytes.data(), bytes.size()) == 0);
}

// Layouts by name, each once.
std::vector<MatrixFormat> all_formats() {
    std::vector<MatrixFormat> formats;
    std::set<std::string_view> seen;
    for (const tb_kernel* kernel : all_kernels()) {
        if (seen.insert(kernel->layout).second) formats.push_back(parse_format(kernel->layout));
    }
    return formats;
}

TEST(DummyPieces, OfEveryLayoutAreTheTensorAsPackedWhole) {
    for (const MatrixFormat& format : all_formats()) {
        expect_pieces_are_the_tensor(format, {900, 1280}, true);
        if (format.codec->weight_kind != TB_WEIGHT_TERNARY) {
            expect_pieces_are_the_tensor(format, {900, 1280}, false);
        }
        // Rows and columns that are no whole panel, tile or block.
        const tb_shape odd{1003, 1149};
        if (why_not_stored({GgmlType::I8, format.codec, format.tile}, odd).empty()) {
            expect_pieces_are_the_tensor(format, odd, true);
        }
    }
}

TEST(DummyPieces, OfEveryTileToo) {
    for (const char* name : {"tl1:BM=64,BK=64,bm=32", "tl1:BM=512,BK=192,bm=64", "tl2:BM=32,BK=96",
                             "tl2:BM=320,BK=240", "tl2:BM=160,BK=48"}) {
        expect_pieces_are_the_tensor(parse_format(name), {1003, 1149}, true);
        expect_pieces_are_the_tensor(parse_format(name), {960, 1280}, true);
    }
}

// A layout that layout_cut.cpp has not heard of works at once, in one piece.
TEST(DummyPieces, OfAnUnknownLayoutThereIsOne) {
    tb_kernel codec = *parse_format("tl2").codec;
    codec.layout = "unheard_of";
    const MatrixFormat format{GgmlType::I8, &codec, default_tile(codec)};
    expect_pieces_are_the_tensor(format, {900, 1280}, true, 1);
}

// A weight of its own: 16 bits of one random word.
TEST(DummyDraws, OfEveryIsaAreThoseOfTheWords) {
    const auto bits_of = [](uint64_t key, uint64_t e) {
        const uint64_t word = mix64(key + e / 4 * 0x9E3779B97F4A7C15);
        return static_cast<uint16_t>(word >> (16 * (e % 4)));
    };
    for (const tb_draw* draw : all_draws()) {
        if ((draw->features & ~allowed_features()) != 0) continue;
        SCOPED_TRACE(draw->isa);
        for (const uint64_t begin : {0U, 1U, 6U, 1021U, 4099U}) {
            for (const uint64_t count : {1U, 5U, 128U, 1023U, 1024U, 2500U}) {
                for (const uint16_t plus : {0, 40000}) {
                    std::vector<int8_t> trits(count + 1, 7);
                    draw->trits(77, begin, count, 21626, plus, trits.data());
                    EXPECT_EQ(trits.back(), 7);
                    for (uint64_t i = 0; i < count; ++i) {
                        const uint16_t bits = bits_of(77, begin + i);
                        const bool positive = plus == 0 ? bits % 2 == 1 : bits >= plus;
                        ASSERT_EQ(trits[i], bits < 21626 ? 0 : positive ? 1 : -1) << begin + i;
                    }
                }
            }
        }
        for (const uint64_t count : {32U, 256U, 288U, 1024U}) {
            std::vector<uint8_t> bytes(count);
            draw->i2s(78, 64, count, 21626, bytes.data());
            for (uint64_t i = 0; i < count; ++i) {
                int expected = 0;
                for (uint64_t field = 0; field < 4; ++field) {
                    const uint64_t e = (64 + i) / 32 * 128 + 32 * field + i % 32;
                    const uint16_t bits = bits_of(78, e);
                    expected = expected << 2 | (bits < 21626 ? 1 : bits % 2 == 1 ? 2 : 0);
                }
                ASSERT_EQ(bytes[i], expected) << i;
            }
        }
    }
}

TEST(DummyRows, AnyRangeIsAPart) {
    DummyOptions options{small_config(), 9};
    options.ffn_zeros = 0.8;
    const DummyTensor gate{"blk.1.ffn_gate.weight", Kind::Ternary, 40, {35, 768}};
    const RowProvider rows = dummy_rows(options, gate);
    std::vector<int8_t> whole(768 * 35), part(768 * 35);
    std::vector<float> values(768 * 35);
    float scale = 0, one = 0;
    rows(0, 768, whole.data(), nullptr, &scale);
    EXPECT_EQ(scale, dummy_scale(9, 40, 35, options.zeros));
    rows(0, 768, nullptr, values.data(), &one);
    EXPECT_EQ(one, 1.0F);
    for (size_t i = 0; i < whole.size(); ++i) {
        ASSERT_EQ(values[i], static_cast<float>(whole[i]) * scale) << i;
    }
    for (int64_t row = 0; row < 768; row += 5) {
        const int64_t end = std::min<int64_t>(row + 5, 768);
        rows(row, end, part.data() + row * 35, nullptr, &scale);
    }
    EXPECT_EQ(whole, part);
    const DummyMatrix matrix(options, gate);
    std::vector<int8_t> columns(768 * 9);
    matrix.trits(0, 768, 11, 20, columns.data());
    for (size_t i = 0; i < columns.size(); ++i) {
        ASSERT_EQ(columns[i], whole[i / 9 * 35 + 11 + i % 9]) << i;
    }
    int silent = 0;
    for (size_t row = 0; row < 768; ++row) {
        silent += std::count(&whole[row * 35], &whole[row * 35] + 35, 0) == 35;
    }
    EXPECT_NEAR(silent / 768.0, silent_share(0.8, 768), 0.06);
}

TEST(DummyRows, OfAnEmbeddingAreItsHalves) {
    const DummyOptions options{small_config(), 2};
    const DummyTensor tensor{"token_embd.weight", Kind::Embedding, 0, {33, 7}};
    const RowProvider rows = dummy_rows(options, tensor);
    std::vector<uint16_t> halves(33 * 7);
    dummy_f16(2, 0, 0, halves);
    std::vector<float> values(33 * 7);
    float scale = 0;
    for (int64_t row = 0; row < 7; ++row) {  // rows that begin in the middle of a word
        rows(row, row + 1, nullptr, values.data() + row * 33, &scale);
    }
    for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_EQ(values[i], tb_half_to_float(halves[i])) << i;
        ASSERT_EQ(tb_float_to_half(values[i]), halves[i]) << i;
    }
    std::vector<int8_t> trits(33);
    EXPECT_THROW(rows(0, 1, trits.data(), nullptr, &scale), Error);
    EXPECT_THROW(dummy_rows(options, {"output_norm.weight", Kind::Norm, 1, {33}}), Error);
}

TEST(DummyFormats, RolesMayDiffer) {
    const TempFolder folder;
    ThreadPool pool(2, {}, false);
    DummyOptions options{small_config(), 6};
    parse_linear_formats("t5r,ffn_down=i2c,ffn_up=tl2:BM=32,BK=96,attn_v=f16", options.formats);
    EXPECT_EQ(linear_formats_name(options.formats), "t5r,ffn_down=i2c,ffn_up=tl2,attn_v=f16");
    options.formats.embedding = parse_format("q6_k");
    options.formats.head = parse_format("q8_0");
    ASSERT_TRUE(generate_dummy(options, folder / "m", pool));
    EXPECT_EQ(std::filesystem::file_size(folder / "m"), dummy_file_bytes(options));
    const GgufFile file(folder / "m");
    const std::vector<DummyTensor> tensors = dummy_tensors(options);
    ASSERT_EQ(file.tensors().size(), tensors.size());
    EXPECT_EQ(tensors.back().name, "output.weight");
    for (const DummyTensor& t : tensors) {
        SCOPED_TRACE(t.name);
        const GgufTensor* found = file.find_tensor(t.name);
        ASSERT_NE(found, nullptr);
        if (t.kind == Kind::Norm) continue;
        const StoredMatrix stored(file, *found);
        const std::string expected = t.name == "output.weight"             ? "q8_0"
                                     : t.kind == Kind::Embedding           ? "q6_k"
                                     : t.name.ends_with("ffn_down.weight") ? "i2c"
                                     : t.name.ends_with("ffn_up.weight")   ? "tl2:BM=32,BK=96"
                                     : t.name.ends_with("attn_v.weight")   ? "f16"
                                                                           : "t5r";
        EXPECT_EQ(format_name(stored.format()), expected);
        EXPECT_EQ(stored.shape().k, t.ne[0]);
        const PackedWeights whole =
            encode_tensor(pool, stored.format(), stored.shape(), dummy_rows(options, t));
        ASSERT_EQ(found->bytes, whole.bytes.size());
        EXPECT_TRUE(std::memcmp(found->data, whole.bytes.data(), whole.bytes.size()) == 0);
        if (expected == "t5r") {
            EXPECT_EQ(found->file_offset % 64, 0U);
        }
    }
}

TEST(DummyFormats, BadTextsAreNamed) {
    const auto refused = [](const char* text) {
        DummyFormats formats;
        return error_of([&] { parse_linear_formats(text, formats); });
    };
    EXPECT_HAS(refused("tl9"), "expected one of");
    EXPECT_HAS(refused("t5r,ffn_dwn=i2c"), "'ffn_dwn=i2c': expected ROLE=FORMAT after the first");
    EXPECT_HAS(refused("t5r,i2c"), "'i2c': expected ROLE=FORMAT");
    EXPECT_HAS(refused("t5r,ffn_down"), "'ffn_down': expected ROLE=FORMAT");
    EXPECT_HAS(refused("t5r,ffn_down=i9c"), "'i9c'");
    EXPECT_HAS(refused("tl2:BM=32,BQ=96"), "BQ");
    EXPECT_HAS(refused(""), "expected one of");
}

TEST(DummyFormats, AKThatAFormatCannotHoldNamesThoseThatCan) {
    DummyOptions options{small_config()};
    options.config.ffn = 8640;
    parse_linear_formats("tq1_0", options.formats);
    const std::string error = error_of([&] { check_dummy(options); });
    EXPECT_HAS(error, "ffn_down is 256 x 8640 (N x K): tq1_0: K is not a multiple of");
    EXPECT_HAS(error, "formats that hold it: ");
    EXPECT_HAS(error, "i2_s");
    EXPECT_HAS(error, "t5r");
    EXPECT_EQ(error.find("tq2_0"), std::string::npos) << error;
    EXPECT_EQ(error.find("q8_0"), std::string::npos) << "would round: " << error;
    options.formats = {};
    options.formats.embedding = parse_format("q6_k");
    options.config.hidden = 320;
    options.config.head_dim = 80;
    const std::string other = error_of([&] { check_dummy(options); });
    EXPECT_HAS(other, "token_embd is 515 x 320 (N x K): q6_k: K is not");
    EXPECT_HAS(other, "q8_0");
    options.formats.embedding = parse_format("i2_s");
    EXPECT_HAS(error_of([&] { check_dummy(options); }),
               "--embedding-type i2_s: would make ternary");
}

TEST(DummyStatistics, SignsHaveTheStatedBalance) {
    const tb_shape shape{256, 1024};
    std::vector<int8_t> trits(256 * 1024);
    for (const double zeros : {0.0, 0.33, 0.9}) {
        for (const double positive : {0.01, 0.3, 0.5, 0.99}) {
            const TritShares shares = trit_shares(zeros, positive);
            EXPECT_NEAR(shares.positive(), positive, 1e-4 / (1 - zeros));
            dummy_trit_stream(4, 19, shares, 0, trits);
            const auto none = std::count(trits.begin(), trits.end(), 0);
            const auto plus = std::count(trits.begin(), trits.end(), 1);
            const auto minus = std::count(trits.begin(), trits.end(), -1);
            EXPECT_EQ(none + plus + minus, shape.n * shape.k);
            const auto left = static_cast<double>(plus + minus);
            EXPECT_NEAR(static_cast<double>(plus) / left, positive, 4 / std::sqrt(left));
            EXPECT_NEAR(static_cast<double>(none) / static_cast<double>(trits.size()), zeros,
                        0.005);
        }
    }
    for (const double positive : {0.0, 1.0, -1.0, static_cast<double>(NAN)}) {
        EXPECT_HAS(error_of([&] { trit_shares(0.3, positive); }),
                   "expected a share of 0.01 to 0.99");
    }
}

TEST(DummyStatistics, ScalesSpreadAsStated) {
    for (const double spread : {0.0, 0.125, 0.5, 0.9}) {
        std::set<float> scales;
        for (uint64_t tensor = 0; tensor < 400; ++tensor) {
            scales.insert(dummy_scale(1, tensor, 2560, 0.4, spread));
        }
        EXPECT_EQ(scales.size(), spread == 0 ? 1U : 17U);
        const double ideal = 1 / std::sqrt(2560 * 0.6);
        EXPECT_NEAR(*scales.begin() / ideal, 1 - spread, 0.01);
        EXPECT_NEAR(*scales.rbegin() / ideal, 1 + spread, 0.01);
        // What `default` means has not moved.
        if (spread == kDummyScaleSpread) {
            EXPECT_EQ(dummy_scale(1, 7, 2560, 0.4, spread), dummy_scale(1, 7, 2560, 0.4));
        }
    }
    for (const double spread : {-0.1, 0.91, static_cast<double>(NAN)}) {
        EXPECT_HAS(error_of([&] { scale_spread_steps(spread); }), "expected 0 to 0.9");
    }
}

TEST(DummyStatistics, FilesSayWhatDiffersFromTheDefaults) {
    const TempFolder folder;
    ThreadPool pool(2, {}, false);
    DummyOptions options{small_config(), 6};
    ASSERT_TRUE(generate_dummy(options, folder / "plain", pool));
    options.positive = 0.7;
    options.scale_spread = 0.5;
    ASSERT_TRUE(generate_dummy(options, folder / "odd", pool));
    const GgufFile plain(folder / "plain"), odd(folder / "odd");
    EXPECT_EQ(plain.find("tritbench.dummy.positive"), nullptr);
    EXPECT_EQ(plain.find("tritbench.dummy.scale_spread"), nullptr);
    EXPECT_NEAR(odd.number("tritbench.dummy.positive"), 0.7, 1e-4);
    EXPECT_EQ(odd.number("tritbench.dummy.scale_spread"), 0.5);
    // Uneven signs go another way to the same format.
    const GgufTensor* tensor = odd.find_tensor("blk.1.attn_q.weight");
    ASSERT_EQ(tensor->type, GgmlType::I2_S);
    const StoredMatrix stored(odd, *tensor);
    std::vector<int8_t> trits(256 * 256), expected(256 * 256);
    float scale = 0, expected_scale = 0;
    stored.trits(0, 256, trits.data(), nullptr);
    stored.trits(0, 1, nullptr, &scale);
    const std::vector<DummyTensor> tensors = dummy_tensors(options);
    const auto found = std::find_if(tensors.begin(), tensors.end(), [](const DummyTensor& t) {
        return t.name == "blk.1.attn_q.weight";
    });
    dummy_rows(options, *found)(0, 256, expected.data(), nullptr, &expected_scale);
    EXPECT_EQ(trits, expected);
    EXPECT_EQ(scale, expected_scale);
    const auto plus = static_cast<double>(std::count(trits.begin(), trits.end(), 1));
    const auto minus = static_cast<double>(std::count(trits.begin(), trits.end(), -1));
    EXPECT_NEAR(plus / (plus + minus), 0.7, 0.02);
}

TEST(DummyVocabulary, IsCopiedToTheByte) {
    const TempFolder folder;
    ThreadPool pool(1, {}, false);
    {
        GgufWriter writer(folder / "source");
        writer.set_text("general.architecture", "other");
        writer.set_text("tokenizer.ggml.model", "gpt2");
        writer.set_texts("tokenizer.ggml.tokens", {"a", "b", "c"});
        writer.set_u32("tokenizer.ggml.bos_token_id", 2);
        writer.begin();
        writer.finish();
    }
    const GgufFile source(folder / "source");
    DummyOptions options{small_config()};
    options.vocabulary = &source;
    EXPECT_HAS(error_of([&] { check_dummy(options); }),
               "a vocabulary of 3 tokens, but the model is to have 515; --vocab 3 would fit");
    options.config.vocab = 3;
    ASSERT_TRUE(generate_dummy(options, folder / "m", pool));
    const GgufFile made(folder / "m");
    size_t copied = 0;
    for (const auto& [key, value] : source.metadata()) {
        if (!key.starts_with("tokenizer.")) continue;
        ++copied;
        const auto bytes = source.stored_value(key), found = made.stored_value(key);
        EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), found.begin(), found.end())) << key;
    }
    EXPECT_EQ(copied, 3U);
    EXPECT_EQ(made.text("general.architecture"), "bitnet-b1.58");
    EXPECT_HAS(error_of([&] { vocabulary_size(GgufFile(folder / "none")); }), "none");
    ASSERT_TRUE(generate_dummy(DummyOptions{small_config()}, folder / "bare", pool));
    EXPECT_HAS(error_of([&] { vocabulary_size(GgufFile(folder / "bare")); }), "no vocabulary");
}

}  // namespace
}  // namespace tritbench
