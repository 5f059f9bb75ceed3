// Model::load: every tensor found, checked against the config, and packed or mapped.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_set>

#include "kernels/api/error.h"
#include "kernels/api/ops.h"
#include "kernels/api/registry.h"
#include "model/i2s_tensor.h"
#include "model/model_impl.h"
#include "model/printable.h"

namespace tritbench {

namespace {

// Paths and names come from outside: nothing in them may reach the terminal raw.
std::string where(const GgufFile& file) {
    return printable(file.path().string(), 300);
}

std::string shape_text(std::span<const int64_t> ne) {
    return fmt::format("[{}]", fmt::join(ne, ", "));
}

// Finds tensors, checks them, and remembers which were used.
class TensorTable {
  public:
    explicit TensorTable(const GgufFile& file) : file_(file) {}

    const GgufTensor& get(const std::string& name, std::initializer_list<int64_t> ne,
                          std::initializer_list<GgmlType> types) {
        const GgufTensor* tensor = file_.find_tensor(name);
        if (tensor == nullptr) fail(name, "missing", ne, types);
        std::vector<int64_t> extents = tensor->ne;  // trailing extents of 1 say nothing
        while (extents.size() > ne.size() && extents.back() == 1) extents.pop_back();
        if (!std::equal(extents.begin(), extents.end(), ne.begin(), ne.end())) {
            fail(name, "has the shape " + shape_text(tensor->ne), ne, types);
        }
        if (std::find(types.begin(), types.end(), tensor->type) == types.end()) {
            fail(name, "has the type " + ggml_type_name(tensor->type), ne, types);
        }
        used_.insert(name);
        return *tensor;
    }

    // A tensor that the graph would leave out makes a model that is silently another one: biases,
    // frequency factors, output scales. Scales of exactly 1 change nothing and are let through.
    void refuse_unused() const {
        for (const GgufTensor& tensor : file_.tensors()) {
            if (used_.contains(tensor.name) || is_unit_scale(tensor)) continue;
            throw Error(fmt::format(
                "{}: tensor '{}': the graph of this architecture has no place "
                "for it{}; expected only the tensors of {}",
                where(file_), printable(tensor.name),
                tensor.name.ends_with(".scale") ? " (a scale other than 1)" : "", "bitnet-b1.58"));
        }
    }

  private:
    [[noreturn]] void fail(const std::string& name, const std::string& found,
                           std::initializer_list<int64_t> ne,
                           std::initializer_list<GgmlType> types) const {
        std::vector<std::string> names;
        for (const GgmlType type : types) names.push_back(ggml_type_name(type));
        throw Error(fmt::format("{}: tensor {}: {}; expected shape {} of type {}", where(file_),
                                name, found, shape_text(std::vector<int64_t>(ne)),
                                fmt::join(names, " or ")));
    }

    static bool is_unit_scale(const GgufTensor& tensor) {
        if (!tensor.name.ends_with(".scale") || tensor.type != GgmlType::F32 ||
            tensor.elements() != 1) {
            return false;
        }
        float scale = 0.0F;
        std::memcpy(&scale, tensor.data, sizeof scale);
        return scale == 1.0F;
    }

    const GgufFile& file_;
    std::unordered_set<std::string> used_;
};

std::vector<float> read_norm(TensorTable& table, const GgufFile& file, const std::string& name,
                             int64_t size) {
    const GgufTensor& tensor = table.get(name, {size}, {GgmlType::F32, GgmlType::F16});
    std::vector<float> weights(static_cast<size_t>(size));
    if (tensor.type == GgmlType::F32) {
        std::memcpy(weights.data(), tensor.data, weights.size() * sizeof(float));
    } else {
        best_ops().f16_to_f32(reinterpret_cast<const uint16_t*>(tensor.data), size, weights.data());
    }
    for (size_t i = 0; i < weights.size(); ++i) {
        if (!std::isfinite(weights[i])) {
            throw Error(fmt::format("{}: tensor {}: element {} is {}; expected finite numbers",
                                    where(file), name, i, weights[i]));
        }
    }
    return weights;
}

// Bytes as they lie in the file. Copied only where the kernel would read past the mapping or
// wants more alignment than the file gives.
PackedWeights map_packed(const tb_kernel& kernel, tb_shape shape, const GgufFile& file,
                         const GgufTensor& tensor) {
    const tb_tile tile = default_tile(kernel);
    require_accepts(kernel, shape, tile);
    const size_t bytes = kernel.packed_size(&shape, &tile);
    if (bytes > tensor.bytes) {
        throw Error(fmt::format("{}: tensor {}: {} bytes; kernel {} expects {}", where(file),
                                tensor.name, tensor.bytes, kernel.id, bytes));
    }
    const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    const uint64_t readable = (file.file_bytes() + page - 1) / page * page - tensor.file_offset;
    const bool aligned =
        reinterpret_cast<uintptr_t>(tensor.data) % static_cast<uintptr_t>(kernel.packed_align) == 0;
    if (aligned && bytes + static_cast<uint64_t>(kernel.packed_overread) <= readable) {
        return view_packed(kernel, tile, shape, {tensor.data, bytes});
    }
    AlignedBuffer copy(bytes + static_cast<size_t>(kernel.packed_overread));
    std::memcpy(copy.data(), tensor.data, bytes);
    PackedWeights out = view_packed(kernel, tile, shape, copy.span().first(bytes));
    out.storage = std::move(copy);
    return out;
}

void will_need(const GgufTensor& tensor) {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<uintptr_t>(tensor.data) / page * page;
    const auto end = reinterpret_cast<uintptr_t>(tensor.data) + tensor.bytes;
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);  // only advice
}

RowProvider rows_of(const GgufFile& file, const GgufTensor& tensor) {
    const float scale = i2s_scale(file, tensor);
    const int64_t k = tensor.ne[0];
    return [&file, &tensor, scale, k](int64_t begin, int64_t end, int8_t* trits, float* values,
                                      float* scales) {
        scales[0] = scale;
        if (trits != nullptr) {
            i2s_decode(file, tensor, begin * k, end * k, trits);
            return;
        }
        std::vector<int8_t> row(static_cast<size_t>(k));
        for (int64_t r = begin; r < end; ++r) {
            i2s_decode(file, tensor, r * k, (r + 1) * k, row.data());
            float* to = values + (r - begin) * k;
            for (int64_t i = 0; i < k; ++i) {
                to[i] = static_cast<float>(row[static_cast<size_t>(i)]) * scale;
            }
        }
    };
}

// Loads the linear layers one after another, each in parallel; or, for a model without a kernel,
// only checks them: their scales, and with a pool every code.
class LinearLoader {
  public:
    LinearLoader(TensorTable& table, Model::Impl& model, ThreadPool* checkers)
        : table_(table), model_(model), pool_(checkers) {}

    LinearLoader(TensorTable& table, Model::Impl& model, ThreadPool& pool,
                 const LoadProgress& progress)
        : table_(table), model_(model), pool_(&pool), progress_(progress) {
        const ModelConfig& c = model.config;
        const tb_tile tile = default_tile(*model.kernel);
        const tb_shape shapes[] = {{model.q_dim(), c.hidden},  {model.kv_dim(), c.hidden},
                                   {model.kv_dim(), c.hidden}, {c.hidden, model.q_dim()},
                                   {c.ffn, c.hidden},          {c.ffn, c.hidden},
                                   {c.hidden, c.ffn}};
        for (const tb_shape& shape : shapes) {
            require_accepts(*model.kernel, shape, tile);
            total_ += model.kernel->packed_size(&shape, &tile);
        }
        total_ *= static_cast<uint64_t>(c.layers);
    }

    PackedWeights load(const std::string& name, int64_t n, int64_t k) {
        const GgufFile& file = *model_.file;
        const GgufTensor& tensor = table_.get(name, {k, n}, {GgmlType::I2_S});
        i2s_scale(file, tensor);
        PackedWeights packed;
        if (model_.kernel == nullptr) {
            if (pool_ != nullptr) i2s_check(*pool_, file, tensor);
            return packed;
        }
        if (std::string_view(model_.kernel->layout) == "i2s") {
            // At the speed of memory, and the pages are wanted anyway.
            i2s_check(*pool_, file, tensor);
            packed = map_packed(*model_.kernel, {n, k}, file, tensor);
        } else {
            packed = pack_weights(*pool_, *model_.kernel, default_tile(*model_.kernel), {n, k},
                                  rows_of(file, tensor));
        }
        model_.parameters += static_cast<uint64_t>(n * k);
        done_ += packed.bytes.size();
        if (progress_) progress_(done_, total_);
        return packed;
    }

  private:
    TensorTable& table_;
    Model::Impl& model_;
    ThreadPool* pool_ = nullptr;
    LoadProgress progress_;
    uint64_t done_ = 0, total_ = 0;
};

Layer load_layer(TensorTable& table, LinearLoader& linear, const Model::Impl& model,
                 const std::string& prefix) {
    const ModelConfig& c = model.config;
    const GgufFile& file = *model.file;
    Layer layer;
    layer.attn_norm = read_norm(table, file, prefix + "attn_norm.weight", c.hidden);
    layer.attn_sub_norm = read_norm(table, file, prefix + "attn_sub_norm.weight", model.q_dim());
    layer.ffn_norm = read_norm(table, file, prefix + "ffn_norm.weight", c.hidden);
    layer.ffn_sub_norm = read_norm(table, file, prefix + "ffn_sub_norm.weight", c.ffn);
    layer.q = linear.load(prefix + "attn_q.weight", model.q_dim(), c.hidden);
    layer.k = linear.load(prefix + "attn_k.weight", model.kv_dim(), c.hidden);
    layer.v = linear.load(prefix + "attn_v.weight", model.kv_dim(), c.hidden);
    layer.o = linear.load(prefix + "attn_output.weight", c.hidden, model.q_dim());
    layer.gate = linear.load(prefix + "ffn_gate.weight", c.ffn, c.hidden);
    layer.up = linear.load(prefix + "ffn_up.weight", c.ffn, c.hidden);
    layer.down = linear.load(prefix + "ffn_down.weight", c.hidden, c.ffn);
    return layer;
}

// The head runs on the f16 layout, which is the file's own row-major halves.
PackedWeights load_head(const Model::Impl& model, const GgufTensor& tensor, ThreadPool& pool) {
    const tb_kernel* kernel = best_kernel_of_layout("f16");
    if (kernel == nullptr)
        throw Error("model: the LM head needs a kernel of layout f16; none runs here");
    const tb_shape shape{model.config.vocab, model.config.hidden};
    if (tensor.type == GgmlType::F16) {
        will_need(tensor);
        return map_packed(*kernel, shape, *model.file, tensor);
    }
    const auto* floats = reinterpret_cast<const float*>(tensor.data);
    return pack_weights(pool, *kernel, default_tile(*kernel), shape,
                        [&](int64_t begin, int64_t end, int8_t*, float* values, float* scales) {
                            scales[0] = 1.0F;
                            std::copy(floats + begin * shape.k, floats + end * shape.k, values);
                        });
}

void name_linears(Model::Impl& model) {
    for (size_t i = 0; i < model.layers.size(); ++i) {
        const Layer& layer = model.layers[i];
        const std::string prefix = fmt::format("blk.{}.", i);
        const std::pair<const char*, const PackedWeights*> all[] = {
            {"attn_q", &layer.q},      {"attn_k", &layer.k},      {"attn_v", &layer.v},
            {"attn_output", &layer.o}, {"ffn_gate", &layer.gate}, {"ffn_up", &layer.up},
            {"ffn_down", &layer.down}};
        for (const auto& [name, weights] : all) {
            model.linears.push_back({prefix + name + ".weight", weights});
        }
    }
}

// What the graph and the attention op rely on, whatever read the config.
void check_config(const GgufFile& file, const ModelConfig& c) {
    if (c.heads < 1 || c.kv_heads < 1 || c.heads % c.kv_heads != 0) {
        throw Error(fmt::format("{}: {} attention heads and {} KV heads; expected a multiple",
                                where(file), c.heads, c.kv_heads));
    }
    if (c.head_dim < 2 || c.head_dim % 2 != 0) {
        throw Error(fmt::format("{}: heads of {} dimensions; expected an even number", where(file),
                                c.head_dim));
    }
}

struct OuterTensors {
    const GgufTensor* embedding;
    const GgufTensor* head;
};

OuterTensors outer_tensors(TensorTable& table, const ModelConfig& c) {
    const auto types = {GgmlType::F16, GgmlType::F32};
    const GgufTensor& embedding = table.get("token_embd.weight", {c.hidden, c.vocab}, types);
    return {&embedding,
            c.tied_head ? &embedding : &table.get("output.weight", {c.hidden, c.vocab}, types)};
}

// Everything of the graph but the head's packing, in the order of the graph.
void load_tensors(TensorTable& table, LinearLoader& linear, Model::Impl& model) {
    const GgufFile& file = *model.file;
    model.output_norm = read_norm(table, file, "output_norm.weight", model.config.hidden);
    for (int64_t i = 0; i < model.config.layers; ++i) {
        model.layers.push_back(load_layer(table, linear, model, fmt::format("blk.{}.", i)));
    }
    table.refuse_unused();
}

}  // namespace

void Model::check(const GgufFile& file, ThreadPool* pool) {
    Impl model;
    model.file = std::shared_ptr<const GgufFile>(std::shared_ptr<void>(), &file);  // not owned
    model.config = read_config(file);
    check_config(file, model.config);
    TensorTable table(file);
    outer_tensors(table, model.config);
    LinearLoader linear(table, model, pool);
    load_tensors(table, linear, model);
}

std::shared_ptr<const Model> Model::load(std::shared_ptr<const GgufFile> file,
                                         const tb_kernel& kernel, ThreadPool& pool,
                                         const LoadProgress& progress) {
    const std::string why = why_not_here(kernel);
    if (!why.empty()) throw Error(fmt::format("kernel {}: does not run here: {}", kernel.id, why));
    auto impl = std::make_unique<Impl>();
    impl->file = std::move(file);
    impl->config = read_config(*impl->file);
    impl->kernel = &kernel;
    const ModelConfig& c = impl->config;
    check_config(*impl->file, c);

    TensorTable table(*impl->file);
    const OuterTensors outer = outer_tensors(table, c);
    impl->embedding = outer.embedding;
    LinearLoader linear(table, *impl, pool, progress);
    load_tensors(table, linear, *impl);
    impl->head = load_head(*impl, *outer.head, pool);

    const int64_t norms = c.layers * (2 * c.hidden + impl->q_dim() + c.ffn) + c.hidden;
    const int64_t vectors_held = c.hidden * c.vocab * (c.tied_head ? 1 : 2);
    impl->parameters += static_cast<uint64_t>(norms + vectors_held);
    name_linears(*impl);
    return std::make_shared<const Model>(std::move(impl));
}

RowProvider Model::canonical_rows(const std::string& name) const {
    const GgufTensor* tensor = file().find_tensor(name);
    if (tensor == nullptr || tensor->type != GgmlType::I2_S) {
        throw Error(
            fmt::format("{}: tensor {}: not a linear layer of this model", where(file()), name));
    }
    return rows_of(file(), *tensor);
}

}  // namespace tritbench
