#include "harness/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

namespace tritbench {
namespace {

constexpr ColumnInfo kColumns[] = {
    {"schema_version", "", "Version of this list of columns.", 1},
    {"run_id", "", "One run of the bench, kept when the run is resumed.", 1},
    {"utc", "", "When the row was finished, ISO 8601, UTC.", 1},
    {"git_revision", "", "Commit that the binary was built from.", 1},
    {"git_dirty", "", "true when tracked files differed from that commit, else false.", 1},
    {"compiler", "", "Compiler and version.", 1},
    {"flags", "", "Compiler flags of everything but the kernels, whose files add their ISA's.", 1},
    {"machine_id", "", "Stable id of the machine: CPU model, cores, caches, memory, ISA.", 1},
    {"cpu", "", "The CPU's model name.", 1},
    {"isa_path", "", "Instruction set of the kernel that ran.", 1},
    {"spec", "", "Name of the experiment; the command for rows made without a spec.", 1},
    {"cell_key", "",
     "Hash of what was measured: machine code, compiler and flags, cell, model or shape, machine.",
     1},
    {"level", "", "kernel: one matrix product. e2e: a complete model.", 1},
    {"kernel", "", "Kernel id, <layout>_<isa>[_<tag>].", 1},
    {"layout", "", "Weight layout of the kernel.", 1},
    {"object_hash", "", "First 16 hex digits of the SHA-256 of the kernel's object file.", 1},
    {"exactness", "", "What the kernel claims: exact, bounded or lossy.", 1},
    {"bits_per_weight", "bits", "Bits per weight of the packed weights, overhead not counted.", 1},
    {"tile", "", "Tile parameters, name=value, comma separated; empty when there are none.", 1},
    {"n", "", "Rows of W (output features); kernel level only.", 1},
    {"k", "", "Columns of W (input features); kernel level only.", 1},
    {"batch", "tokens", "Tokens multiplied together; 1 for gemv and decode.", 1},
    {"activation_zeros", "",
     "Share of the activations that was made zero, where one was asked for. Then bytes may be more "
     "than a kernel that skips zeros has read. Kernel level only.",
     3},
    {"model", "", "Model file without folder and extension; e2e level only.", 1},
    {"model_file_bytes", "bytes", "Size of the model file.", 1},
    {"phase", "", "gemv or gemm (kernel level), prefill or decode (e2e level).", 1},
    {"depth_tokens", "tokens", "Tokens already in the KV cache when the timed phase begins.", 1},
    {"threads", "", "Threads that share the work.", 1},
    {"pins", "", "CPU of each thread, space separated.", 1},
    {"cache_mode", "",
     "hot: one copy of the weights, again and again. cold: rotates over copies that together "
     "exceed the last-level cache four times. stream: the layers of a model, one after another.",
     1},
    {"warmups", "", "Untimed repetitions before the timed ones.", 1},
    {"repetitions", "", "Timed repetitions, interleaved with those of the other cells.", 1},
    {"calls_per_repetition", "",
     "Products per repetition (kernel level, timed together); tokens per repetition for decode "
     "(each timed alone); 1 for prefill.",
     1},
    {"median_ns", "ns",
     "Median time of one product (kernel level), of the whole prompt (prefill) or of one token "
     "(decode).",
     1},
    {"mad_ns", "ns", "Median absolute deviation from the median, not scaled.", 1},
    {"ci95_lo_ns", "ns",
     "Lower end of the 95% interval of the median, by order statistics; empty below 6 samples.", 1},
    {"ci95_hi_ns", "ns", "Upper end of that interval.", 1},
    {"min_ns", "ns", "Fastest sample.", 1},
    {"prepare_median_ns", "ns",
     "Median time to prepare the activations (quantise, sums, tables), not part of median_ns; "
     "kernel level only.",
     1},
    {"tokens_per_s", "tokens/s", "Tokens per second at the median; e2e level only.", 1},
    {"gmac_per_s", "GMAC/s",
     "10^9 multiply-accumulates per second at the median: N K M (kernel level); parameters of the "
     "linear layers for every token and of the LM head for the tokens whose logits are computed "
     "(e2e).",
     1},
    {"bytes", "bytes",
     "Bytes moved per product as the kernel declares them (weights, activations, tables, output); "
     "per decoded token: packed linear layers, LM head and KV cache at the mean depth.",
     1},
    {"footprint_bytes", "bytes",
     "Distinct bytes touched by the timed loop: for cold cells all copies of the weights.", 1},
    {"gb_per_s", "GB/s", "bytes / median_ns; empty for prefill.", 1},
    {"ceiling_gb_per_s", "GB/s",
     "Read bandwidth with the same threads and pins. Cold kernel cells: the median of as many "
     "readings of the very copies of the weights as the cell has repetitions, one after each of "
     "them. Hot cells and decode: of other memory of the same footprint, the better of one "
     "measurement before and one after the cell. gemv and decode only.",
     1},
    {"ceiling_probe", "", "The loop that measured the ceiling.", 1},
    {"pct_of_ceiling", "%", "gb_per_s in percent of ceiling_gb_per_s; gemv and decode only.", 1},
    {"peak_gmac_per_s", "GMAC/s",
     "The most that this CPU's fastest multiply-accumulate instruction gives from registers, "
     "measured in the same run with the same threads and pins: an int8 dot product, or a float32 "
     "multiply-add for kernels of float activations; the better of two measurements. Kernel level "
     "only.",
     2},
    {"peak_probe", "", "Instruction set and instruction of that peak.", 2},
    {"pct_of_peak", "%", "gmac_per_s in percent of peak_gmac_per_s.", 2},
    {"mix_gmac_per_s", "GMAC/s",
     "The same for all the instructions of the kernel's inner loop but its loads, from registers: "
     "the bound that its instruction mix sets on this CPU's ports. gemv only, and only of kernels "
     "for which the roofline has that loop.",
     2},
    {"pct_of_mix", "%", "gmac_per_s in percent of mix_gmac_per_s.", 2},
    {"peak_rss_bytes", "bytes",
     "Largest resident memory of the child process that measured this cell, and maybe others "
     "interleaved with it.",
     1},
    {"logits_hash", "",
     "FNV-1a 64 of the bits of the logits of the last token; equal for all exact kernels of one "
     "model, phase, batch and depth. e2e level only.",
     1},
    {"verified", "",
     "Proof on the very bytes that were timed, before and after: bitexact, bounded, no (wrong); "
     "empty when nothing was proved.",
     1},
    {"noise", "", "Marks, space separated, of what may make the timing untrustworthy.", 1},
    {"status", "", "ok, failed, unavailable, crashed, timeout or error.", 1},
    {"reason", "", "Why the status is not ok, in one line.", 1},
};
static_assert(std::size(kColumns) == static_cast<size_t>(kColumnCount));

}  // namespace

std::span<const ColumnInfo> schema_columns() {
    return kColumns;
}

const ColumnInfo& column_info(Column column) {
    return kColumns[static_cast<size_t>(column)];
}

std::optional<Column> find_column(std::string_view name) {
    const auto* it = std::find_if(std::begin(kColumns), std::end(kColumns),
                                  [&](const ColumnInfo& c) { return c.name == name; });
    if (it == std::end(kColumns)) return std::nullopt;
    return static_cast<Column>(it - std::begin(kColumns));
}

void Row::set(Column column, std::string_view text) {
    std::string& field = fields_[static_cast<size_t>(column)];
    field.assign(text);
    for (char& c : field) {
        if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
}

void Row::set(Column column, int64_t value) {
    set(column, fmt::format("{}", value));
}
void Row::set(Column column, uint64_t value) {
    set(column, fmt::format("{}", value));
}

void Row::set(Column column, double value, int decimals) {
    if (std::isfinite(value)) {
        set(column, fmt::format("{:.{}f}", value, decimals));
    } else {
        clear(column);
    }
}

std::optional<double> Row::number(Column column) const {
    const std::string& field = (*this)[column];
    double value = 0;
    const char* end = field.data() + field.size();
    const auto [stop, problem] = std::from_chars(field.data(), end, value);
    if (field.empty() || problem != std::errc() || stop != end) return std::nullopt;
    return value;
}

void Row::merge(const Row& other) {
    for (size_t i = 0; i < fields_.size(); ++i) {
        if (!other.fields_[i].empty()) fields_[i] = other.fields_[i];
    }
}

std::string csv_header() {
    std::string line;
    for (const ColumnInfo& column : kColumns) {
        if (!line.empty()) line += ',';
        line += column.name;
    }
    return line + '\n';
}

std::string csv_field(std::string_view field) {
    if (field.find_first_of(",\"") == std::string_view::npos) return std::string(field);
    std::string out = "\"";
    for (const char c : field) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + '"';
}

std::string csv_line(const Row& row) {
    std::string line;
    for (int i = 0; i < kColumnCount; ++i) {
        if (i > 0) line += ',';
        line += csv_field(row[static_cast<Column>(i)]);
    }
    return line + '\n';
}

std::optional<Row> parse_csv_line(std::string_view line) {
    std::vector<std::string> fields(1);
    bool inside = false;
    for (size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (inside && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
            fields.back() += '"';
            ++i;
        } else if (c == '"') {
            inside = !inside;
        } else if (c == ',' && !inside) {
            fields.emplace_back();
        } else {
            fields.back() += c;
        }
    }
    if (inside || fields.size() != static_cast<size_t>(kColumnCount)) return std::nullopt;
    Row row;
    for (int i = 0; i < kColumnCount; ++i) {
        row.set(static_cast<Column>(i), fields[static_cast<size_t>(i)]);
    }
    return row;
}

std::string json_object(const Row& row) {
    nlohmann::ordered_json object = nlohmann::ordered_json::object();
    for (int i = 0; i < kColumnCount; ++i) {
        const Column column = static_cast<Column>(i);
        if (row[column].empty()) continue;
        const std::string name(column_info(column).name);
        // Hashes and ids may look like numbers (12e45678...), so only true quantities become one.
        const bool text = column == Column::CellKey || column == Column::ObjectHash ||
                          column == Column::LogitsHash || column == Column::MachineId ||
                          column == Column::GitRevision || column == Column::Pins;
        const auto number = text ? std::nullopt : row.number(column);
        if (!number) {
            object[name] = row[column];
        } else if (row[column].find('.') == std::string::npos && std::abs(*number) < 9e15) {
            object[name] = static_cast<int64_t>(*number);
        } else {
            object[name] = *number;
        }
    }
    return object.dump();
}

}  // namespace tritbench
