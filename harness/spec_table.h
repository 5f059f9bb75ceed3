// Reading the tables of a spec.
#pragma once

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/axes.h"
#include "kernels/api/error.h"

namespace tritbench {

// One table of a TOML file; every access names file and line when it goes wrong.
class SpecTable {
  public:
    // Whose keys have been checked.
    SpecTable(const std::string& file, const toml::table& table) : file_(file), table_(table) {}
    SpecTable(const std::string& file, const toml::table& table, std::string name,
              std::vector<std::string> known)
        : SpecTable(file, table) {
        name_ = std::move(name);
        for (const auto& [key, node] : table) {
            const std::string found(key.str());
            if (std::find(known.begin(), known.end(), found) != known.end()) continue;
            throw Error(fmt::format("{}: unknown key '{}' in {}{}; known keys: {}", at(&node),
                                    found, name_, did_you_mean(found, known),
                                    fmt::join(known, ", ")));
        }
    }

    // "file:line", of a value or of the table.
    std::string at(const toml::node* node) const {
        const auto line =
            (node != nullptr ? *node : static_cast<const toml::node&>(table_)).source().begin.line;
        return fmt::format("{}:{}", file_, line);
    }
    std::string at(std::string_view key) const {
        return fmt::format("{}: {}", at(table_.get(key)), key);
    }

    bool has(std::string_view key) const { return table_.contains(key); }

    std::string text(std::string_view key, std::string_view fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return std::string(fallback);
        if (!node->is_string()) throw Error(fmt::format("{}: expected a text in quotes", at(key)));
        return node->as_string()->get();
    }

    // One text or whole number, or a list of them, as texts.
    std::vector<std::string> texts(std::string_view key, std::vector<std::string> fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return fallback;
        std::vector<std::string> values;
        if (const toml::array* array = node->as_array()) {
            for (const toml::node& element : *array) values.push_back(scalar(element, key));
        } else {
            values.push_back(scalar(*node, key));
        }
        if (values.empty()) throw Error(fmt::format("{}: the list is empty", at(key)));
        return values;
    }

    std::vector<std::string> required(std::string_view key) const {
        if (!has(key)) {
            throw Error(
                fmt::format("{}: {} has no key '{}', which it needs", at(nullptr), name_, key));
        }
        return texts(key, {});
    }

    // Whole numbers and ranges of them (parse_counts).
    std::vector<int64_t> counts(std::string_view key, int64_t least,
                                const std::vector<int64_t>& fallback) const {
        std::vector<int64_t> values;
        for (const std::string& value : texts(key, {})) {
            for (const int64_t count : parse_counts(value, least, at(key))) {
                values.push_back(count);
            }
        }
        return has(key) ? values : fallback;
    }

    // One whole number: no list, no range.
    int64_t count(std::string_view key, int64_t least, int64_t fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return fallback;
        if (!node->is_integer()) throw Error(fmt::format("{}: expected a whole number", at(key)));
        return parse_count(scalar(*node, key), least, at(key));
    }

    // One share, 0 to 1, or a list of them.
    std::vector<double> shares(std::string_view key, const std::vector<double>& fallback) const {
        const toml::node* node = table_.get(key);
        if (node == nullptr) return fallback;
        std::vector<double> values;
        const auto add = [&](const toml::node& element) {
            const double value = element.value<double>().value_or(-1);
            if (!(value >= 0 && value <= 1)) {
                throw Error(fmt::format("{}: expected a share of 0 to 1, or a list", at(key)));
            }
            values.push_back(value);
        };
        if (const toml::array* array = node->as_array()) {
            for (const toml::node& element : *array) add(element);
        } else {
            add(*node);
        }
        if (values.empty()) throw Error(fmt::format("{}: the list is empty", at(key)));
        return values;
    }

    // Runs `parse` and puts file and line before what it complains about.
    template <class Parse>
    auto located(std::string_view key, Parse&& parse) const {
        try {
            return parse();
        } catch (const Error& e) {
            throw Error(fmt::format("{}: {}", at(key), e.what()));
        }
    }

  private:
    std::string scalar(const toml::node& node, std::string_view key) const {
        if (node.is_string()) return node.as_string()->get();
        if (node.is_integer()) return fmt::format("{}", node.as_integer()->get());
        throw Error(fmt::format("{}: expected texts in quotes or whole numbers", at(key)));
    }

    const std::string& file_;
    const toml::table& table_;
    std::string name_;
};

}  // namespace tritbench
