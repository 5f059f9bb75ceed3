// A product step by step in memory of exactly the sizes that the kernel asks for, under conditions
// that must not matter: what the memory held before, gaps behind the rows, where things lie.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "harness/verify/gate_data.h"
#include "tests/published_bugs/mutant.h"

namespace tritbench::testing {

// Memory on the alignment asked for and on no larger one. It ends where the allocation ends, so
// that the address sanitizer sees a read or write of one byte too many; or canaries are on both
// sides of it, which are looked at afterwards.
class Block {
  public:
    Block(size_t bytes, size_t alignment, uint8_t fill, bool canaries)
        : bytes_(bytes),
          alignment_(std::max<size_t>(alignment, 1)),
          canary_(canaries ? 256 : 0),
          memory_(static_cast<uint8_t*>(::operator new(total(), align()))) {
        std::memset(memory_, fill, total());
        for (size_t i = 0; i < canary_; ++i) data()[-1 - static_cast<int64_t>(i)] = mark(i);
        for (size_t i = 0; i < canary_; ++i) data()[bytes_ + i] = mark(i);
    }
    ~Block() { ::operator delete(memory_, align()); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    uint8_t* data() const { return memory_ + before(); }
    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data());
    }
    size_t size() const { return bytes_; }

    bool intact() const {
        for (size_t i = 0; i < canary_; ++i) {
            if (data()[-1 - static_cast<int64_t>(i)] != mark(i)) return false;
            if (data()[bytes_ + i] != mark(i)) return false;
        }
        return true;
    }

  private:
    static uint8_t mark(size_t i) { return static_cast<uint8_t>(0xa5 ^ i); }
    // An odd multiple of the alignment.
    size_t before() const {
        return (canary_ + alignment_) / (2 * alignment_) * 2 * alignment_ + alignment_;
    }
    size_t total() const { return before() + bytes_ + canary_; }
    std::align_val_t align() const {
        return std::align_val_t{std::max<size_t>(2 * alignment_, 16)};
    }

    size_t bytes_, alignment_, canary_;
    uint8_t* memory_;
};

struct Conditions {
    uint8_t fill = 0xcd;  // what memory holds that nobody wrote yet
    size_t align = 1;     // of every buffer at least; on no more than it must be if 1
    int64_t gap = 0;      // elements behind every row of weights and activations, never to be read
    bool canaries = false;  // around every buffer
};

// One product. Call pack and prepare, then multiply, then look at the bits.
class Rig {
  public:
    Rig(const tb_kernel& kernel, const tb_tile& tile, const GateCase& c, const Conditions& how)
        : kernel_(kernel), tile_(tile), case_(c), how_(how), data_(make_gate_data(kernel, c)) {
        const tb_shape& s = c.shape;
        weights_ = block(extent(s.n) * (ternary() ? 1 : 4), ternary() ? 1 : 4);
        inputs_ = block(extent(c.m) * (c.float_input ? 4 : 1), c.float_input ? 4 : 1);
        packed_ = block(kernel.packed_size(&s, &tile) + static_cast<size_t>(kernel.packed_overread),
                        static_cast<size_t>(kernel.packed_align));
        prepared_ = block(
            kernel.prepared_size(&s, &tile, c.m) + static_cast<size_t>(kernel.prepared_overread),
            static_cast<size_t>(kernel.prepared_align));
        scratch_ = block(kernel.scratch_size(&s, &tile, c.m), 64);
        y_ = block(static_cast<size_t>(c.m * ldy()) * 4, 4);
    }

    // Packs and unpacks again. Says if one of them refused.
    std::string pack() {
        const tb_shape& s = case_.shape;
        if (ternary()) {
            place(data_.trits.data(), s.n, int8_t{77}, weights_->as<int8_t>());
        } else {
            place(data_.values.data(), s.n, kNan, weights_->as<float>());
        }
        const int64_t per_row = scales_per_row(kernel_, s.k);
        std::vector<float> scales;
        for (int64_t n = 0; n < s.n; ++n) {
            scales.insert(scales.end(), static_cast<size_t>(per_row),
                          data_.scales[static_cast<size_t>(n)]);
        }
        const tb_weights w{ternary() ? weights_->as<int8_t>() : nullptr,
                           ternary() ? nullptr : weights_->as<float>(), s.k + how_.gap,
                           scales.data()};
        const tb_status status = kernel_.pack(&s, &tile_, &w, 0, s.n, packed_->data());
        return status.code == TB_OK ? unpack() : std::string("pack refused: ") + status.reason;
    }

    std::string prepare() {
        const int64_t k = case_.shape.k;
        tb_activations act{};
        act.m = case_.m;
        act.ld = k + how_.gap;
        std::vector<float> absmax;
        if (case_.float_input) {
            place(data_.x.x.data(), case_.m, kNan, inputs_->as<float>());
            for (int64_t m = 0; m < case_.m; ++m) {
                absmax.push_back(kernel_.row_absmax(data_.x.x.data() + m * k, k));
            }
            act.x = inputs_->as<float>();
            act.absmax = absmax.data();
        } else {
            place(data_.x.q.data(), case_.m, int8_t{99}, inputs_->as<int8_t>());
            act.q = inputs_->as<int8_t>();
            act.q_scale = data_.x.q_scale.data();
        }
        const tb_status status =
            kernel_.prepare(&case_.shape, &tile_, &act, 0, case_.m, 0, k, prepared_->data());
        return status.code == TB_OK ? "" : std::string("prepare refused: ") + status.reason;
    }

    void multiply() {
        if (kernel_.accumulate != nullptr) (void)sums();
        std::memset(y_->data(), how_.fill, y_->size());
        tb_product p = product();
        p.y = y_->as<float>();
        (case_.m == 1 ? kernel_.gemv : kernel_.gemm)(&p);
        keep();
    }

    // Raw sums, token by token, ldy() apart.
    const int32_t* sums() {
        std::memset(y_->data(), how_.fill, y_->size());
        tb_product p = product();
        p.acc = y_->as<int32_t>();
        kernel_.accumulate(&p);
        keep();
        return p.acc;
    }

    // The packed bytes to another place, as a file that is mapped has them; garbage in the old one.
    void move_weights() {
        auto moved = block(packed_->size(), static_cast<size_t>(kernel_.packed_align));
        std::memcpy(moved->data(), packed_->data(), packed_->size());
        std::memset(packed_->data(), 0x3c, packed_->size());
        old_ = std::move(packed_);
        packed_ = std::move(moved);
    }

    // Everything that came out: weights as unpacked, raw sums, y.
    const std::vector<uint8_t>& bits() const { return bits_; }

    // Empty, or which buffer was written beside.
    std::string damage() const {
        const std::pair<const char*, const Block*> all[] = {
            {"weights", weights_.get()},  {"activations", inputs_.get()},
            {"packed", packed_.get()},    {"prepared", prepared_.get()},
            {"scratch", scratch_.get()},  {"y", y_.get()},
            {"unpacked", unpacked_.get()}};
        for (const auto& [name, block] : all) {
            if (block != nullptr && !block->intact()) return fmt::format("wrote beside {}", name);
        }
        return "";
    }

    int64_t ldy() const { return case_.shape.n + 3; }

  private:
    static constexpr float kNan = __builtin_nanf("");

    tb_product product() const {
        tb_product p{};
        p.shape = case_.shape;
        p.tile = &tile_;
        p.packed = packed_->data();
        p.prepared = prepared_->data();
        p.m = case_.m;
        p.n_end = case_.shape.n;
        p.ldy = ldy();
        p.scratch = scratch_->size() > 0 ? scratch_->data() : nullptr;
        return p;
    }
    bool ternary() const { return kernel_.weight_kind == TB_WEIGHT_TERNARY; }
    // Elements of rows with gaps between them, and none behind the last.
    size_t extent(int64_t rows) const {
        return static_cast<size_t>((rows - 1) * (case_.shape.k + how_.gap) + case_.shape.k);
    }
    std::unique_ptr<Block> block(size_t bytes, size_t alignment) const {
        return std::make_unique<Block>(bytes, std::max(alignment, how_.align), how_.fill,
                                       how_.canaries);
    }
    template <class T>
    void place(const T* from, int64_t rows, T poison, T* to) const {
        const int64_t k = case_.shape.k, ld = k + how_.gap;
        std::fill_n(to, extent(rows), poison);
        for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * k, k, to + r * ld);
    }
    void keep_bytes(const void* from, size_t bytes) {
        const auto* b = static_cast<const uint8_t*>(from);
        bits_.insert(bits_.end(), b, b + bytes);
    }
    void keep() {
        for (int64_t m = 0; m < case_.m; ++m) {
            keep_bytes(y_->as<float>() + m * ldy(), static_cast<size_t>(case_.shape.n) * 4);
        }
    }

    // Into rows with gaps, in which nothing may be written; as trits or, of others, as values.
    std::string unpack() {
        const tb_shape& s = case_.shape;
        const size_t width = ternary() ? 1 : 4;
        unpacked_ = block(extent(s.n) * width, width);
        const tb_weights_out out{ternary() ? unpacked_->as<int8_t>() : nullptr,
                                 ternary() ? nullptr : unpacked_->as<float>(), s.k + how_.gap,
                                 nullptr};
        const tb_status status = kernel_.unpack(&s, &tile_, packed_->data(), 0, s.n, &out);
        if (status.code != TB_OK) return std::string("unpack refused: ") + status.reason;
        const size_t row = static_cast<size_t>(s.k) * width;
        const size_t ld = static_cast<size_t>(s.k + how_.gap) * width;
        for (size_t n = 0; n < static_cast<size_t>(s.n); ++n) {
            keep_bytes(unpacked_->data() + n * ld, row);
            if (n + 1 == static_cast<size_t>(s.n)) break;
            for (size_t i = row; i < ld; ++i) {
                if (unpacked_->data()[n * ld + i] != how_.fill) return "unpack wrote into a gap";
            }
        }
        return "";
    }

    const tb_kernel& kernel_;
    tb_tile tile_;
    GateCase case_;
    Conditions how_;
    GateData data_;
    std::unique_ptr<Block> weights_, inputs_, packed_, prepared_, scratch_, y_, unpacked_, old_;
    std::vector<uint8_t> bits_;
};

// Empty, or what went wrong on the way; `bits` gets what came out.
inline std::string run_under(const tb_kernel& kernel, const tb_tile& tile, const GateCase& c,
                             const Conditions& how, std::vector<uint8_t>& bits) {
    Rig rig(kernel, tile, c, how);
    std::string wrong = rig.pack();
    if (wrong.empty()) wrong = rig.prepare();
    if (!wrong.empty()) return wrong;
    rig.multiply();
    bits = rig.bits();
    return rig.damage();
}

// Empty if a case comes out the same under all conditions, and nothing was written beside.
inline std::string depends_on(const tb_kernel& kernel, const GateCase& c,
                              const std::vector<Conditions>& conditions) {
    const tb_tile tile = default_tile(kernel);
    std::vector<uint8_t> first, bits;
    for (const Conditions& how : conditions) {
        const std::string wrong = run_under(kernel, tile, c, how, bits);
        if (!wrong.empty()) return describe(c) + ": " + wrong;
        if (first.empty()) first = bits;
        if (bits == first) continue;
        return fmt::format("{}: differs with fill {:#x}, gap {}", describe(c), how.fill, how.gap);
    }
    return "";
}

}  // namespace tritbench::testing
