// The columns of a result file, as data: results/SCHEMA.md is checked against this list.
//
// A row is text in every column; an empty field means unknown, never zero.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tritbench {

// Raised whenever a column is added, removed, moved or changes its meaning.
inline constexpr int kSchemaVersion = 5;

// In file order. kColumns (schema.cpp) has the name, unit and meaning of each.
enum class Column : int {
    SchemaVersion,
    RunId,
    Utc,
    GitRevision,
    GitDirty,
    Compiler,
    Flags,
    MachineId,
    Cpu,
    IsaPath,
    Spec,
    CellKey,
    Level,
    Kernel,
    Plan,
    Layout,
    ObjectHash,
    Exactness,
    BitsPerWeight,
    Tile,
    N,
    K,
    Batch,
    ActivationZeros,
    Model,
    ModelFile,
    ModelMode,
    LayersDistinct,
    LayersRun,
    ModelType,
    ModelParameters,
    ModelTensorBytes,
    ModelFileBytes,
    HeadType,
    CacheType,
    Phase,
    PromptTokens,
    GeneratedTokens,
    DepthTokens,
    Sequences,
    PrefillBatch,
    Threads,
    Pins,
    CacheMode,
    Warmups,
    Repetitions,
    CallsPerRepetition,
    StopReason,
    MedianNs,
    MadNs,
    Ci95LoNs,
    Ci95HiNs,
    Ci95Pct,
    Control,
    ControlRatio,
    AaRatioLo,
    AaRatioHi,
    AaLimitPct,
    MinNs,
    MaxNs,
    P95Ns,
    P99Ns,
    PrepareMedianNs,
    FirstTokenMs,
    LoadMs,
    TokensPerS,
    TokensPerSNoHead,
    ExtrapolatedPct,
    GmacPerS,
    Bytes,
    FootprintBytes,
    GbPerS,
    CeilingGbPerS,
    CeilingProbe,
    PctOfCeiling,
    PeakGmacPerS,
    PeakProbe,
    PctOfPeak,
    ProductGmacPerS,
    ProductPctOfPeak,
    MixGmacPerS,
    PctOfMix,
    RolePrepareNs,
    RoleProductNs,
    RoleAttentionNs,
    RoleHeadNs,
    RoleOtherNs,
    PctOutsideProducts,
    PeakRssBytes,
    LogitsHash,
    Verified,
    Noise,
    Status,
    Reason,
    Count
};
inline constexpr int kColumnCount = static_cast<int>(Column::Count);

struct ColumnInfo {
    std::string_view name;     // as in the CSV header
    std::string_view unit;     // "ns", "bytes", ...; "" for text and counts
    std::string_view meaning;  // one sentence
    int since;                 // schema version that introduced it
};

std::span<const ColumnInfo> schema_columns();
const ColumnInfo& column_info(Column column);
std::optional<Column> find_column(std::string_view name);

class Row {
  public:
    const std::string& operator[](Column column) const {
        return fields_[static_cast<size_t>(column)];
    }
    // Text is kept on one line: line breaks and other control characters become spaces.
    void set(Column column, std::string_view text);
    void set(Column column, const char* text) { set(column, std::string_view(text)); }
    void set(Column column, const std::string& text) { set(column, std::string_view(text)); }
    void set(Column column, int64_t value);
    void set(Column column, uint64_t value);
    void set(Column column, int value) { set(column, static_cast<int64_t>(value)); }
    // Decimals after the point; a value that is not finite is unknown, so the field stays empty.
    void set(Column column, double value, int decimals);
    void clear(Column column) { fields_[static_cast<size_t>(column)].clear(); }
    // The field as a number; nothing when it is empty or not a number.
    std::optional<double> number(Column column) const;
    // Takes over every field of `other` that is not empty.
    void merge(const Row& other);

  private:
    std::array<std::string, static_cast<size_t>(Column::Count)> fields_;
};

// "schema_version,run_id,...,reason\n" and the line of a row, quoted as RFC 4180 asks.
std::string csv_header();
std::string csv_field(std::string_view text);
std::string csv_line(const Row& row);

// Inverse of csv_line for one line without its line break. Nothing when the number of fields or
// the quoting is wrong.
std::optional<Row> parse_csv_line(std::string_view line);

// The row as a JSON object of its known fields: numbers as numbers, the rest as text.
std::string json_object(const Row& row);

}  // namespace tritbench
