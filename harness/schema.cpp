#include "harness/schema.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

namespace tritbench {

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
    for (const ColumnInfo& column : schema_columns()) {
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
