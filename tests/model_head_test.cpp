// The LM head: of another type than the file's, and computed for no more tokens than were asked
// for.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "harness/cell.h"
#include "tests/model_fixture.h"

namespace tritbench {
namespace {

using namespace test;

std::shared_ptr<const Model> load_with_head(const fs::path& path, const tb_kernel& kernel,
                                            ThreadPool& pool, const std::string& head) {
    LoadOptions options;
    options.head = head;
    return Model::load(std::make_shared<const GgufFile>(path), kernel, pool, {}, options);
}

// Mean square of the difference over mean square.
double error_of(const std::vector<float>& found, const std::vector<float>& right) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < right.size(); ++i) {
        const double d = static_cast<double>(found[i]) - static_cast<double>(right[i]);
        difference += d * d;
        size += static_cast<double>(right[i]) * static_cast<double>(right[i]);
    }
    return difference / size;
}

class Head : public testing::Test {
  protected:
    Head() : path(generate_for_blocks(folder)), tokens(some_tokens(9, small_config().vocab)) {}

    std::vector<float> logits(const std::string& head, int64_t batch = 9) {
        const auto model = load_with_head(path, i2s(), pool, head);
        return all_logits(model, i2s(), pool, tokens, batch);
    }

    const Folder folder;
    const fs::path path;
    const std::vector<int32_t> tokens;
    ThreadPool pool{2};
};

TEST_F(Head, IsPackedAnewInEveryTypeAndRoundsAsMuchAsThatDoes) {
    const std::vector<float> right = logits("f32");
    // Mean square errors: halves of 2^-12, roundings of bytes and of int8 activations, 4 bits.
    const std::map<std::string, std::pair<double, double>> limits = {
        {"f16", {0, 1e-6}},       {"bf16", {1e-8, 1e-4}}, {"q8_0", {1e-7, 1e-3}},
        {"q8_row", {1e-7, 1e-3}}, {"q6_k", {1e-6, 3e-3}}, {"q4_0", {1e-4, 3e-2}}};
    for (const auto& [head, limit] : limits) {
        const auto model = load_with_head(path, i2s(), pool, head);
        EXPECT_EQ(model->head_format(), head);
        const tb_shape shape{model->config().vocab, model->config().hidden};
        const tb_tile tile{};
        EXPECT_EQ(model->head_bytes(), find_kernel(head + "_scalar")->packed_size(&shape, &tile));
        const double error = error_of(all_logits(model, i2s(), pool, tokens, 9), right);
        EXPECT_GE(error, limit.first) << head;
        EXPECT_LE(error, limit.second) << head;
    }
}

TEST_F(Head, OfTheTypeThatTheFileHasStaysMapped) {
    const auto stored = load_with_head(path, i2s(), pool, "");
    EXPECT_EQ(stored->packed_bytes_owned(), 0U);
    const std::string type(stored->head_format());
    const auto named = load_with_head(path, i2s(), pool, type);
    EXPECT_EQ(named->packed_bytes_owned(), 0U);
    EXPECT_TRUE(same_bits(logits(type), logits("")));
    const auto other = load_with_head(path, i2s(), pool, "q8_row");
    EXPECT_GE(other->packed_bytes_owned(), other->head_bytes());
}

TEST_F(Head, GivesTheSameBitsForThreadsAndBatches) {
    for (const std::string head : {"q8_row", "q6_k", "q4_0"}) {
        const std::vector<float> expected = logits(head);
        for (const int threads : {1, 3}) {
            ThreadPool other(threads);
            const auto model = load_with_head(path, i2s(), other, head);
            for (const int64_t batch : {1, 4}) {
                EXPECT_TRUE(same_bits(all_logits(model, i2s(), other, tokens, batch), expected))
                    << head << ", " << threads << " threads, batches of " << batch;
            }
        }
    }
}

TEST_F(Head, OfATypeThatIsNoneIsRefused) {
    EXPECT_EQ(parse_head("stored"), "");
    EXPECT_EQ(parse_head(""), "");
    EXPECT_EQ(parse_head("q8_row"), "q8_row");
    for (const char* wrong : {"q5_k", "i2s", "Q6_K", "f16 ", "t5r"}) {
        try {
            parse_head(wrong);
            ADD_FAILURE() << wrong << " was taken";
        } catch (const Error& e) {
            EXPECT_NE(std::string(e.what()).find("q8_row"), std::string::npos) << e.what();
        }
        EXPECT_THROW(load_with_head(path, i2s(), pool, wrong), Error) << wrong;
    }
}

TEST_F(Head, ThatCannotHoldTheRowsIsRefused) {
    const fs::path narrow = generate(folder, small_config());  // 160 columns
    EXPECT_THROW(load_with_head(narrow, i2s(), pool, "q6_k"), Error);
    EXPECT_NO_THROW(load_with_head(narrow, i2s(), pool, "q4_0"));
}

TEST(HeadOfACell, TellsCellsApart) {
    Cell cell;
    cell.level = Level::EndToEnd;
    cell.kernels = {{&i2s(), default_tile(i2s())}};
    cell.plan = std::make_shared<const Plan>(plan_of_kernel(i2s()));
    cell.model.path = "model.gguf";
    std::set<std::string> keys, labels;
    for (const char* head : {"", "f16", "q8_row", "q6_k"}) {
        cell.load.head = head;
        cell.model.head_type = head;
        keys.insert(cell_key(cell, "machine"));
        labels.insert(cell_label(cell));
    }
    EXPECT_EQ(keys.size(), 4U);
    EXPECT_EQ(labels.size(), 4U);
}

// Counts the tokens whose logits are computed: a kernel for everything, and the head is known by
// its rows.
int64_t head_tokens = 0;

template <void (*tb_kernel::*Call)(const tb_product*)>
void counting(const tb_product* p) {
    if (p->shape.n == small_config().vocab && p->n_begin == 0) head_tokens += p->m;
    (find_kernel("f32_scalar")->*Call)(p);
}

TEST_F(Head, IsComputedForTheTokensThatNeedItOnly) {
    tb_kernel kernel = *find_kernel("f32_scalar");
    kernel.gemv = counting<&tb_kernel::gemv>;
    kernel.gemm = counting<&tb_kernel::gemm>;
    const auto model = load_with_head(path, kernel, pool, "f32");
    Session session(model, kernel, pool, 40, 4);
    head_tokens = 0;
    session.forward(tokens);  // three batches, the last of one token
    EXPECT_EQ(head_tokens, 1);
    session.forward({tokens.data(), 1});
    EXPECT_EQ(head_tokens, 2);
    session.forward({tokens.data(), 8});  // two full batches
    EXPECT_EQ(head_tokens, 3);
    std::vector<float> all(tokens.size() * static_cast<size_t>(small_config().vocab));
    session.forward_all(tokens, all);
    EXPECT_EQ(head_tokens, 3 + static_cast<int64_t>(tokens.size()));
}

}  // namespace
}  // namespace tritbench
