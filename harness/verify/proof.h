// Proofs: what must hold before and after a number is taken.
//
// quick_gate proves a kernel on adversarial shapes and data of its own. CellProof proves one cell:
// the very packed bytes, tile, thread split and prepared batch that are about to be timed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/kernel.h"
#include "model/bitlinear.h"

namespace tritbench {

enum class Proof {
    BitExact,  // integer sums and float results equal the oracle's, bit for bit
    Bounded,   // within the error that the kernel declares
    No         // wrong: `reason` says where
};

// "bitexact", "bounded", "no".
std::string_view proof_name(Proof proof);

struct ProofResult {
    Proof proof = Proof::No;
    std::string reason;  // empty unless No

    bool ok() const { return proof != Proof::No; }
};

// Float rows and the int8 rows and scales that the oracle derives from them.
struct TestActivations {
    int64_t m = 0, k = 0;
    std::vector<float> x;  // [m][k]
    std::vector<int8_t> q;
    std::vector<float> q_scale;
};

// Seeded activations with a few outliers, as b1.58 models have; of these the share `zeros` made
// zero, each by chance.
TestActivations random_activations(int64_t m, int64_t k, uint64_t seed, double zeros = 0);
TestActivations quantised(std::vector<float> x, int64_t m, int64_t k);

// Seeded canonical rows for a bare shape: trits with the given fraction of zeros, values = trit *
// scale, one scale for the tensor. The same rows whatever range or thread asks.
RowProvider random_ternary_rows(tb_shape shape, uint64_t seed, double zeros = 0.4);

// The full gate on small shapes, about a second: shapes around the kernel's granularity, tails,
// same-sign sums, activations of -128, zero rows, row splits, guard pages, poisoned outputs, pack
// and unpack, 1 and 2 threads.
ProofResult quick_gate(const tb_kernel& kernel, const tb_tile& tile);

// Proof of one cell. The constructor draws a vector r and computes c = r^T W from the canonical
// rows, O(N K) once; check() is then O(N M + K M) beside one product (Freivalds, exact in int64
// arithmetic modulo 2^64), compares every y with the epilogue of its proved sum, and a sample of
// rows with the oracle's own dot product. Float kernels: a sample of rows in double, and the
// r-weighted sum of all rows, within the declared bound. Kernels with int8 activations per block: a
// sample of rows bit for bit, from activations that the oracle quantised, and the sum of all rows
// with random signs, within its rounding.
class CellProof {
  public:
    CellProof(ThreadPool& pool, const tb_kernel& kernel, const tb_tile& tile, tb_shape shape,
              const RowProvider& canonical_rows, uint64_t seed);
    ~CellProof();
    CellProof(CellProof&&) noexcept;

    // x must be what was prepared (from x or from q and q_scale, which agree; for int8 per block:
    // from x). Uses the product of `kernel` for x.m() tokens.
    ProofResult check(ThreadPool& pool, const PackedWeights& weights, const PreparedBatch& prepared,
                      const TestActivations& x, ProductScratch& scratch) const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tritbench
