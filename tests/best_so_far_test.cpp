#include "harness/best_so_far.h"

#include <gtest/gtest.h>

namespace tritbench {
namespace {

Row product_row(const char* kernel, double ns, int batch = 1) {
    Row row;
    row.set(Column::Level, "kernel");
    row.set(Column::Kernel, kernel);
    row.set(Column::N, 256);
    row.set(Column::K, 512);
    row.set(Column::Batch, batch);
    row.set(Column::Threads, 2);
    row.set(Column::CacheMode, "cold");
    row.set(Column::MedianNs, ns, 1);
    row.set(Column::Status, "ok");
    return row;
}

TEST(BestSoFar, IsTheFastestOfTheGroupOfTheLastRow) {
    BestSoFar best;
    EXPECT_EQ(best.text(), "");
    EXPECT_EQ(best.beside("cell"), "cell");
    best.add(product_row("a", 2000));
    EXPECT_EQ(best.beside("cell"), "cell; best a 2.00 us (256x512 batch 1, 2 threads, cold)");
    best.add(product_row("b", 1000));
    best.add(product_row("c", 1500));
    EXPECT_EQ(best.text(), "best b 1.00 us (256x512 batch 1, 2 threads, cold)");
    // Another batch does not compare with these.
    best.add(product_row("c", 9000, 8));
    EXPECT_EQ(best.text(), "best c 9.00 us (256x512 batch 8, 2 threads, cold)");
    best.add(product_row("a", 900));
    EXPECT_EQ(best.text(), "best a 900 ns (256x512 batch 1, 2 threads, cold)");
}

TEST(BestSoFar, RowsThatFailedDoNotCount) {
    BestSoFar best;
    Row failed = product_row("wrong", 1);
    failed.set(Column::Status, "failed");
    best.add(failed);
    Row nothing = product_row("absent", 1);
    nothing.clear(Column::MedianNs);
    best.add(nothing);
    EXPECT_EQ(best.text(), "");
    best.add(product_row("right", 1000));
    best.add(failed);
    EXPECT_EQ(best.text(), "best right 1.00 us (256x512 batch 1, 2 threads, cold)");
}

TEST(BestSoFar, ModelsAreToldByPlanAndTokens) {
    BestSoFar best;
    Row row;
    row.set(Column::Level, "e2e");
    row.set(Column::Kernel, "mixed");
    row.set(Column::Plan, "default");
    row.set(Column::Model, "2B-4T-i2_s");
    row.set(Column::GeneratedTokens, 32);
    row.set(Column::Threads, 1);
    row.set(Column::HeadType, "q6_k");
    row.set(Column::MedianNs, 4e7, 1);
    row.set(Column::TokensPerS, 25.0, 3);
    row.set(Column::Status, "ok");
    best.add(row);
    EXPECT_EQ(best.text(), "best default 25 tokens/s (2B-4T-i2_s tg32, 1 thread, head q6_k)");
}

}  // namespace
}  // namespace tritbench
