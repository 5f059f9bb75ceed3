// Right kernels with one thing in them gone wrong, to show that a check finds it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/verify/gate.h"
#include "kernels/api/prepared_int8.h"
#include "kernels/api/registry.h"
#include "kernels/reference/oracle.h"

namespace tritbench::testing {

// Trits, the scale of the tensor and int8 activations of a product, taken apart again by the kernel
// whose packed bytes it holds. For layouts with one scale and activations as in prepared_int8.h.
struct Operands {
    int64_t k;
    std::vector<int8_t> trits;
    float scale = 0;
    tb_int8_batch x;

    Operands(const tb_kernel& base, const tb_product& p)
        : k(p.shape.k),
          trits(static_cast<size_t>(p.shape.n * p.shape.k)),
          x(tb_int8_open(&p.shape, p.prepared, p.m)) {
        const tb_weights_out out{trits.data(), nullptr, k, &scale};
        base.unpack(&p.shape, p.tile, p.packed, 0, p.shape.n, &out);
    }
    const int8_t* row(int64_t n) const { return trits.data() + n * k; }
    const int8_t* token(int64_t m) const { return x.q + m * x.kp; }
};

// Puts a sum where a product belongs, as raw sum or as y.
inline void store(const tb_product& p, const Operands& o, int64_t m, int64_t n, int32_t sum) {
    if (p.acc != nullptr) p.acc[m * p.ldy + n] = sum;
    if (p.y != nullptr) {
        p.y[m * p.ldy + n] = reference::exact_output(sum, o.x.scale[m], o.scale);
    }
}

// Visits every element of a product, tokens first.
template <class Visit>
void each_element(const tb_product& p, Visit visit) {
    for (int64_t m = 0; m < p.m; ++m) {
        for (int64_t n = p.n_begin; n < p.n_end; ++n) visit(m, n);
    }
}

// The kernel Bug::kBase with another arithmetic. Bug has
//   static int32_t sum(const tb_product& p, const int8_t* trits, const int8_t* q)
// for a row of trits and a token, p.shape.k of both.
template <class Bug>
struct Arithmetic {
    static const tb_kernel& base() { return *find_kernel(Bug::kBase); }
    static void multiply(const tb_product* p) {
        const Operands o(base(), *p);
        each_element(*p, [&](int64_t m, int64_t n) {
            store(*p, o, m, n, Bug::sum(*p, o.row(n), o.token(m)));
        });
    }
};

using Operation = void (*)(const tb_product*);

// `base` with another product, and with other raw sums if they are given.
inline tb_kernel with_product(const tb_kernel& base, Operation product,
                              Operation accumulate = nullptr) {
    tb_kernel mutant = base;
    mutant.id = "mutant";
    mutant.gemv = mutant.gemm = product;
    if (accumulate != nullptr) mutant.accumulate = accumulate;
    return mutant;
}

template <class Bug>
tb_kernel arithmetic_mutant() {
    using Wrong = Arithmetic<Bug>;
    return with_product(Wrong::base(), Wrong::multiply, Wrong::multiply);
}

// What is wrong with the kernel: the first case that fails, and how; or nothing. A case that it
// cannot hold is left out, unless that is all of them.
inline std::string first_wrong(const tb_kernel& kernel, const tb_tile& tile,
                               const std::vector<GateCase>& cases) {
    int ran = 0;
    for (const GateCase& c : cases) {
        if (kernel.accepts(&c.shape, &tile).code != TB_OK) continue;
        const std::string wrong = run_gate_case(kernel, tile, c);
        if (!wrong.empty()) return describe(c) + ": " + wrong;
        ++ran;
    }
    return ran > 0 ? "" : "no case was held";
}

inline std::string first_wrong(const tb_kernel& kernel, const std::vector<GateCase>& cases) {
    return first_wrong(kernel, default_tile(kernel), cases);
}

// The cases, in shapes that the kernel holds.
inline std::vector<GateCase> held(const tb_kernel& kernel, std::vector<GateCase> cases) {
    for (GateCase& c : cases) c.shape = held_shape(kernel, c.shape);
    return cases;
}

}  // namespace tritbench::testing
