// The complete b1.58 decoder, of the GGUF architectures bitnet-b1.58 and bitnet-25 (BitNet 2B-4T),
// bitnet (1bitLLM) and llama with ternary weights (Falcon3, Llama3-8B-1.58):
//
//   x -> attn_norm -> q,k,v -> RoPE -> grouped-query attention over a KV cache -> [attn_sub_norm]
//   -> o -> +x -> ffn_norm -> activation(gate) * up -> [ffn_sub_norm] -> down -> + ;
//   output_norm -> head (tied to the embedding or separate)
//
// llama has no sub-norms. Activation and pairs of the RoPE: config.h. The result of a linear layer
// with a `.scale` tensor is multiplied with it. Graphs as in bitnet.cpp's llama.cpp (build_bitnet)
// and ik_llama.cpp (build_bitnet_158, build_llama).
//
// Deterministic: logits are bit-identical for every exact kernel, thread count, batch split and
// ISA. Nothing here prints or reads a clock: an observer is told when each role begins and ends.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/kernel.h"
#include "model/bitlinear.h"
#include "model/config.h"
#include "model/gguf.h"
#include "model/kv_cache.h"
#include "model/load_options.h"
#include "model/plan.h"
#include "model/thread_pool.h"
#include "model/weight_source.h"

namespace tritbench {

enum class Role { Embed, Norm, Prepare, Product, Attention, Activation, Head, Other };

// Told of each role's begin and end on the calling thread. Null function pointers: not wanted.
// `input`: of the rows that a linear layer is about to multiply, after they were prepared.
struct Observer {
    void (*begin)(void* context, Role role) = nullptr;
    void (*end)(void* context, Role role) = nullptr;
    void (*input)(void* context, const tb_kernel& kernel, const PackedWeights& weights,
                  const PreparedBatch& x) = nullptr;
    void* context = nullptr;
};

// done and total in bytes of packed weights.
using LoadProgress = std::function<void(uint64_t done, uint64_t total)>;

// The weights of one model in one layout. Immutable after load; several Sessions may share it.
// Where the GGUF tensor already is in the kernel's layout, its bytes stay mapped.
class Model {
  public:
    // Each linear layer in the layout that the plan has for it. Throws Error on files whose
    // config, tensors, shapes, types or values are not as the architecture expects (naming them).
    // Linear layers: any format of tensor_types.h, with ternary values (ternary_matrix.h). Norms:
    // F32, F16, BF16. Embedding and head: those, Q8_0, Q6_K, Q4_0 or q8_row; LoadOptions::head
    // packs the head anew, which rounds. A tensor that the graph has no place for (a bias) is
    // refused too: leaving it out would silently make another model.
    static std::shared_ptr<const Model> load(std::shared_ptr<const GgufFile> file, const Plan& plan,
                                             ThreadPool& pool, const LoadProgress& progress = {},
                                             const LoadOptions& options = {});
    // All of them for one kernel.
    static std::shared_ptr<const Model> load(std::shared_ptr<const GgufFile> file,
                                             const tb_kernel& kernel, ThreadPool& pool,
                                             const LoadProgress& progress = {},
                                             const LoadOptions& options = {});
    // Throws the Error that load would for an impossible config, or a tensor that is missing, of
    // another shape or type, unknown to the graph, or without a proper scale. With a pool every
    // value of the linear layers is looked at too, which reads the whole file.
    static void check(const GgufFile& file, ThreadPool* pool = nullptr,
                      const LoadOptions& options = {});

    // The same from no file. The embedding is kept as float16, and so is the head unless
    // LoadOptions::head names another type.
    static std::shared_ptr<const Model> draw(const WeightSource& source, const Plan& plan,
                                             ThreadPool& pool, const LoadProgress& progress = {},
                                             const LoadOptions& options = {});

    const ModelConfig& config() const;
    std::string_view layout() const;       // of the linear layers; "mixed" if they differ
    int64_t layers_distinct() const;       // with weights of their own: LoadOptions::window
    int64_t layers_run() const;            // of a forward pass
    uint64_t linear_bytes() const;         // packed bytes of the linear layers that are run
    uint64_t head_bytes() const;           // bytes of the LM head
    std::string_view head_format() const;  // its layout: "q6_k", "q8_row", ...
    uint64_t packed_bytes_owned() const;   // memory repacking took (0 when mapped)
    uint64_t linear_parameters() const;    // of all layers, in the window or not
    uint64_t parameters() const;

    struct NamedLinear {
        std::string name;
        std::string role;  // as plans name it
        const PackedWeights* weights;
    };
    std::vector<NamedLinear> linears() const;  // for proofs on the model's own packed bytes
    // Canonical rows of a linear layer straight from where they come from, for the same proofs.
    RowProvider canonical_rows(const std::string& name) const;

    struct Impl;
    explicit Model(std::unique_ptr<Impl> impl);
    ~Model();
    const Impl& impl() const { return *impl_; }

  private:
    std::unique_ptr<Impl> impl_;
};

// The layout that the linear layers of a file are stored in, whose kernels map them: "i2s", "tl2",
// ...; "" if no kernel reads their bytes as they are (I2_S as Arm and Row4 have it) or they are not
// ternary by type. Throws Error if the file is no model.
std::string linear_layout(const GgufFile& file, const LoadOptions& options = {});
// The fastest exact kernel here for a file: of that layout if it can be mapped, else of i2s. For
// linear layers in q8_0, q6_k or q4_0 that are not ternary (the first is looked at), the fastest of
// their layout.
const tb_kernel& default_kernel(const GgufFile& file, const LoadOptions& options = {});

struct SessionSize {
    int64_t context = 1;    // tokens that each sequence may hold
    int64_t max_batch = 1;  // tokens that go through the layers together
    int64_t sequences = 1;  // each with a KV cache of its own
    CacheType cache = CacheType::F16;
};

// Sequences of one model: KV caches and work buffers. Allocates in its constructor only.
class Session {
  public:
    // Linear layers run with the kernels of the plan, whose layouts must be those that the model
    // was loaded with. Throws Error if a size is out of range, the plan has no call for a layer or
    // one of another layout, or a kernel does not run here.
    Session(std::shared_ptr<const Model> model, const Plan& plan, ThreadPool& pool,
            const SessionSize& size);
    // One sequence, one kernel.
    Session(std::shared_ptr<const Model> model, const tb_kernel& kernel, ThreadPool& pool,
            int64_t context, int64_t max_batch, CacheType cache = CacheType::F16);
    ~Session();

    // Appends tokens to a sequence (split in batches of max_batch) and returns the logits of the
    // last one, valid until the next call. Throws Error past the context or on a token or sequence
    // out of range; then nothing of it has happened.
    std::span<const float> forward(std::span<const int32_t> tokens, int64_t sequence = 0);
    // The same, but logits of every token: [tokens][vocab], row-major, into `logits`.
    void forward_all(std::span<const int32_t> tokens, std::span<float> logits,
                     int64_t sequence = 0);
    // Appends one token to each of the first tokens.size() sequences, which go through the layers
    // together, and returns their logits, [tokens][vocab], valid until the next call. To the bit
    // what forward of each would give.
    std::span<const float> step(std::span<const int32_t> tokens);

    void reset();  // forget the sequences, keep the buffers
    void truncate(int64_t position, int64_t sequence = 0);  // keep the first `position` tokens
    int64_t position(int64_t sequence = 0) const;
    uint64_t kv_bytes_per_token() const;
    void observe(const Observer& observer);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tritbench
