// Model::load: every tensor found, checked against the config, and packed or mapped.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/load_linear.h"
#include "model/model_impl.h"
#include "model/printable.h"
#include "model/tensor_table.h"

namespace tritbench {

namespace {

// Paths and names come from outside: nothing in them may reach the terminal raw.
std::string where(const GgufFile& file) {
    return printable(file.path().string(), 300);
}

// The tensors of one layer. Linear layers become jobs; `layer` must stay where it is.
void find_layer(TensorTable& table, const Model::Impl& model, const std::string& prefix,
                Layer& layer, std::vector<LinearJob>& jobs) {
    const ModelConfig& c = model.config;
    const int64_t q = model.q_dim();
    layer.attn_norm = table.vector(prefix + "attn_norm.weight", c.hidden);
    layer.ffn_norm = table.vector(prefix + "ffn_norm.weight", c.hidden);
    if (c.sub_norms) {
        layer.attn_sub_norm = table.vector(prefix + "attn_sub_norm.weight", q);
        layer.ffn_sub_norm = table.vector(prefix + "ffn_sub_norm.weight", c.ffn);
    }
    for (const auto& [linear, into] : layer.linears(c)) {
        const std::string name = fmt::format("{}{}.weight", prefix, linear.role);
        jobs.push_back({name, table.matrix(name, linear.shape()), into, {}});
        into->role = linear.role;
        into->output_scale = table.scale(fmt::format("{}{}.scale", prefix, linear.role));
    }
}

struct Found {
    std::vector<LinearJob> jobs;
    std::optional<StoredMatrix> head;
};

// Every tensor of the graph, and no other one, before anything is read in full.
Found find_tensors(Model::Impl& model) {
    const ModelConfig& c = model.config;
    TensorTable table(*model.file, model.options);
    Found found;
    const tb_shape vocabulary{c.vocab, c.hidden};
    const StoredMatrix embedding = table.rows("token_embd.weight", vocabulary);
    model.embed = [embedding](int64_t row, float* to) { embedding.values(row, row + 1, to); };
    found.head = c.tied_head ? embedding : table.rows("output.weight", vocabulary);
    model.output_norm = table.vector("output_norm.weight", c.hidden);
    if (c.rope == RopeKind::Norm && table.has("rope_freqs.weight")) {
        model.rope_factors = table.factors("rope_freqs.weight", c.head_dim / 2);
    }
    model.make_layers();
    for (size_t i = 0; i < static_cast<size_t>(c.layers); ++i) {
        const std::string prefix = fmt::format("blk.{}.", i);
        if (i < model.layers.size()) {
            find_layer(table, model, prefix, model.layers[i], found.jobs);
            continue;
        }
        Layer outside;  // of the window: it must be there, but is not read
        std::vector<LinearJob> jobs;
        find_layer(table, model, prefix, outside, jobs);
    }
    table.refuse_unused(c.architecture);
    return found;
}

void will_need(std::span<const std::byte> bytes) {
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / page * page;
    const auto end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);  // only advice
}

// The head runs on the layout that it is stored in, or is packed anew for the one asked for.
void load_head(Model::Impl& model, const StoredMatrix& head, ThreadPool& pool) {
    const std::string_view stored = head.format().codec->layout;
    const std::string_view wanted = model.choose_head(stored);
    will_need(head.packed());
    check_values(head, pool);
    const tb_tile tile = default_tile(*model.head_kernel);
    if (wanted == stored) {
        model.head = map_packed({0, model.head_kernel, tile}, head);
        return;
    }
    const RowProvider rows = [&head](int64_t begin, int64_t end, int8_t*, float* values,
                                     float* scales) {
        scales[0] = 1.0F;
        head.values(begin, end, values);
    };
    model.head = pack_weights(pool, *model.head_kernel, tile, head.shape(), rows);
}

}  // namespace

void Model::check(const GgufFile& file, ThreadPool* pool, const LoadOptions& options) {
    Impl model;
    model.file = std::shared_ptr<const GgufFile>(std::shared_ptr<void>(), &file);  // not owned
    model.options = options;
    model.config = read_config(file);
    model.origin = where(file);
    check_linears(find_tensors(model).jobs, pool);
}

std::shared_ptr<const Model> Model::load(std::shared_ptr<const GgufFile> file,
                                         const tb_kernel& kernel, ThreadPool& pool,
                                         const LoadProgress& progress, const LoadOptions& options) {
    return load(std::move(file), plan_of_kernel(kernel), pool, progress, options);
}

std::shared_ptr<const Model> Model::load(std::shared_ptr<const GgufFile> file, const Plan& plan,
                                         ThreadPool& pool, const LoadProgress& progress,
                                         const LoadOptions& options) {
    auto impl = std::make_unique<Impl>();
    impl->file = std::move(file);
    impl->options = options;
    impl->config = read_config(*impl->file);
    impl->origin = where(*impl->file);

    Found found = find_tensors(*impl);
    for (LinearJob& job : found.jobs) {
        job.packer = packer_of(plan, job.name, job.into->role, job.stored.shape());
    }
    load_linears(found.jobs, pool, progress);
    load_head(*impl, *found.head, pool);
    for (const LinearJob& job : found.jobs) impl->add_linear(job.name, *job.into);
    return std::make_shared<const Model>(std::move(impl));
}

namespace {

// The matrix that stands for all linear layers.
StoredMatrix first_linear(const GgufFile& file, const LoadOptions& options) {
    TensorTable table(file, options);
    const ModelConfig c = read_config(file);
    return table.matrix("blk.0.attn_q.weight", {c.heads * c.head_dim, c.hidden});
}

// "" if no ternary kernel reads the bytes as they are.
std::string mapped_layout(const StoredMatrix& stored) {
    return stored.ternary() && !stored.packed().empty() ? stored.format().codec->layout : "";
}

bool is_ternary(const StoredMatrix& stored) {
    ThreadPool caller(1, {}, false);
    try {
        TernaryMatrix(caller, stored, TernaryMatrix::Read::Values);
        return true;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace

std::string linear_layout(const GgufFile& file, const LoadOptions& options) {
    return mapped_layout(first_linear(file, options));
}

const tb_kernel& default_kernel(const GgufFile& file, const LoadOptions& options) {
    const StoredMatrix first = first_linear(file, options);
    const tb_kernel& codec = *first.format().codec;
    if (codec.weight_kind == TB_WEIGHT_QUANTISED && !is_ternary(first)) {
        return *best_kernel_of_layout(codec.layout);
    }
    const std::string stored = mapped_layout(first);
    const std::string layout = stored.empty() ? "i2s" : stored;
    const tb_kernel* best = nullptr;
    for (const tb_kernel* kernel : all_kernels()) {
        const bool fits = kernel->layout == layout && kernel->exactness == TB_EXACT;
        if (fits && runs_here(*kernel)) best = kernel;
    }
    return *best;  // the portable kernel of a layout is exact and runs everywhere
}

RowProvider Model::canonical_rows(const std::string& name) const {
    for (size_t i = 0; i < impl_->linears.size(); ++i) {
        if (impl_->linears[i].name == name) return impl_->sources[i]->rows;
    }
    throw Error(
        fmt::format("{}: tensor {}: not a linear layer of this model", impl_->origin, name));
}

}  // namespace tritbench
