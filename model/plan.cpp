#include "model/plan.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <charconv>
#include <iterator>

#include "kernels/api/edit_distance.h"
#include "kernels/api/error.h"
#include "kernels/api/registry.h"
#include "model/printable.h"

namespace tritbench {
namespace {

// Reads the tables of one file; errors name file and line.
class PlanReader {
  public:
    explicit PlanReader(const std::filesystem::path& path) : shown_(printable(path.string(), 300)) {
        try {
            root_ = toml::parse_file(path.string());
        } catch (const toml::parse_error& e) {
            throw Error(fmt::format("{}:{}: {}; expected a plan (TOML)", shown_,
                                    e.source().begin.line, printable(e.description(), 200)));
        }
    }

    Plan read() const {
        require_known(root_, {"version", "threads", "layer", "notes"}, "a plan");
        if (number(root_, "version", 0) != 1) fail(root_.get("version"), "version: expected 1");
        Plan plan;
        plan.threads = static_cast<int>(number(root_, "threads", 0, 1024));
        const toml::array* layers = root_["layer"].as_array();
        if (layers == nullptr || layers->empty())
            fail(&root_, "no [[layer]]; expected one at least");
        for (const toml::node& node : *layers) plan.layers.push_back(layer(table(node, "layer")));
        return plan;
    }

  private:
    [[noreturn]] void fail(const toml::node* node, std::string_view what) const {
        const auto line = node == nullptr ? 0 : node->source().begin.line;
        throw Error(fmt::format("{}:{}: {}", shown_, line, what));
    }

    const toml::table& table(const toml::node& node, std::string_view name) const {
        if (const toml::table* found = node.as_table()) return *found;
        fail(&node, fmt::format("{}: expected tables, [[{}]]", name, name));
    }

    void require_known(const toml::table& table, std::initializer_list<std::string_view> known,
                       std::string_view where) const {
        for (const auto& [key, node] : table) {
            if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
            fail(&node, fmt::format("unknown key '{}' in {}; known keys: {}",
                                    printable(key.str(), 60), where, fmt::join(known, ", ")));
        }
    }

    int64_t number(const toml::table& table, std::string_view key, int64_t fallback,
                   int64_t most = int64_t{1} << 40) const {
        const toml::node* node = table.get(key);
        if (node == nullptr) return fallback;
        const auto* value = node->as_integer();
        if (value == nullptr || value->get() < 1 || value->get() > most) {
            fail(node, fmt::format("{}: expected a whole number of 1 to {}", key, most));
        }
        return value->get();
    }

    std::string text(const toml::table& table, std::string_view key) const {
        const toml::node* node = table.get(key);
        if (node == nullptr) return "";
        if (!node->is_string()) fail(node, fmt::format("{}: expected a text in quotes", key));
        return node->as_string()->get();
    }

    tb_shape shape(const toml::table& table) const {
        const std::string given = text(table, "shape");
        if (given.empty()) return {};
        tb_shape out{};
        const char* end = given.data() + given.size();
        const auto n = std::from_chars(given.data(), end, out.n);
        const bool cross = n.ec == std::errc() && n.ptr != end && *n.ptr == 'x';
        const auto k = std::from_chars(cross ? n.ptr + 1 : end, end, out.k);
        if (!cross || k.ec != std::errc() || k.ptr != end || out.n < 1 || out.k < 1) {
            fail(table.get("shape"), fmt::format("shape '{}': expected NxK, as in \"2560x6912\"",
                                                 printable(given, 60)));
        }
        return out;
    }

    PlanLayer layer(const toml::table& from) const {
        require_known(from, {"role", "shape", "layout", "call"}, "[[layer]]");
        PlanLayer out;
        out.role = text(from, "role");
        const bool known =
            std::find(kPlanRoles.begin(), kPlanRoles.end(), out.role) != kPlanRoles.end();
        if (!out.role.empty() && !known) {
            fail(from.get("role"),
                 fmt::format("role '{}': expected one of {}", printable(out.role, 60),
                             fmt::join(kPlanRoles, ", ")));
        }
        out.shape = shape(from);
        out.layout = text(from, "layout");
        const toml::array* calls = from["call"].as_array();
        if (calls == nullptr || calls->empty()) {
            fail(&from, "a layer without [[layer.call]]; expected one at least");
        }
        for (const toml::node& node : *calls) add_call(out, table(node, "layer.call"));
        if (out.calls.back().batch != 0) {
            fail(&calls->back(), "the last call has a batch; expected one without, for any more");
        }
        return out;
    }

    void add_call(PlanLayer& layer, const toml::table& from) const {
        require_known(from, {"batch", "kernel", "tile"}, "[[layer.call]]");
        PlanCall call;
        call.batch = number(from, "batch", 0);
        const std::string id = text(from, "kernel");
        call.kernel = find_kernel(id);
        if (call.kernel == nullptr) {
            fail(&from, fmt::format("kernel '{}': there is none; `tritbench kernels` lists them",
                                    printable(id, 60)));
        }
        if (layer.layout.empty()) layer.layout = call.kernel->layout;
        if (layer.layout != call.kernel->layout) {
            fail(&from, fmt::format("kernel {} reads layout {}; expected {}, that of the layer", id,
                                    call.kernel->layout, printable(layer.layout, 60)));
        }
        try {
            call.tile = parse_tile(*call.kernel, text(from, "tile"));
        } catch (const Error& e) {
            fail(from.get("tile"), e.what());
        }
        if (!layer.calls.empty()) {
            const PlanCall& before = layer.calls.back();
            if (before.batch == 0 || (call.batch != 0 && call.batch <= before.batch)) {
                fail(&from, "batch: expected ascending numbers, and none in the last call only");
            }
            if (!same_bytes(before, call)) {
                fail(&from, "tile: packs the weights differently from the call before it");
            }
        }
        layer.calls.push_back(call);
    }

    // Parameters of one layout that affect packing have the same names in all of its kernels.
    static bool same_bytes(const PlanCall& a, const PlanCall& b) {
        for (int i = 0; i < a.kernel->tile_param_count; ++i) {
            const tb_tile_param& p = a.kernel->tile_params[i];
            if ((p.affects & TB_TILE_AFFECTS_PACK) == 0) continue;
            for (int j = 0; j < b.kernel->tile_param_count; ++j) {
                if (std::string_view(b.kernel->tile_params[j].name) == p.name &&
                    a.tile.value[i] != b.tile.value[j]) {
                    return false;
                }
            }
        }
        return true;
    }

    std::string shown_;
    toml::table root_;
};

}  // namespace

const PlanLayer* Plan::find(std::string_view role, tb_shape shape) const {
    for (const PlanLayer& layer : layers) {
        const bool any_shape = layer.shape.n == 0 && layer.shape.k == 0;
        if (!layer.role.empty() && layer.role != role) continue;
        if (any_shape || (layer.shape.n == shape.n && layer.shape.k == shape.k)) return &layer;
    }
    return nullptr;
}

const PlanCall& call_for(const std::vector<PlanCall>& calls, int64_t m) {
    for (const PlanCall& call : calls) {
        if (call.batch == 0 || m <= call.batch) return call;
    }
    return calls.back();
}

std::string kernel_name(const Plan& plan, int64_t m) {
    std::string name;
    for (const PlanLayer& layer : plan.layers) {
        if (layer.role == "output") continue;
        const std::string_view id = call_for(layer.calls, m).kernel->id;
        if (!name.empty() && name != id) return "mixed";
        name = id;
    }
    return name;
}

Plan plan_of_kernel(const tb_kernel& kernel) {
    return plan_of_kernel(kernel, default_tile(kernel));
}

Plan plan_of_kernel(const tb_kernel& kernel, const tb_tile& tile) {
    Plan plan;
    plan.name = kernel.id;
    plan.layers.push_back({"", {}, kernel.layout, {{0, &kernel, tile}}});
    return plan;
}

Plan read_plan(const std::filesystem::path& path) {
    Plan plan = PlanReader(path).read();
    plan.name = path.stem().string();
    return plan;
}

std::string plan_text(const Plan& plan) {
    std::string text = "version = 1\n";
    if (plan.threads > 0) text += fmt::format("threads = {}\n", plan.threads);
    for (const PlanLayer& layer : plan.layers) {
        text += "\n[[layer]]\n";
        if (!layer.role.empty()) text += fmt::format("role = \"{}\"\n", layer.role);
        if (layer.shape.n > 0) {
            text += fmt::format("shape = \"{}x{}\"\n", layer.shape.n, layer.shape.k);
        }
        text += fmt::format("layout = \"{}\"\n", layer.layout);
        for (const PlanCall& call : layer.calls) {
            text += "  [[layer.call]]\n";
            if (call.batch > 0) text += fmt::format("  batch = {}\n", call.batch);
            text += fmt::format("  kernel = \"{}\"\n", call.kernel->id);
            const std::string tile = tile_name(*call.kernel, call.tile);
            if (!tile.empty()) text += fmt::format("  tile = \"{}\"\n", tile);
        }
    }
    return text;
}

}  // namespace tritbench
