#include "model/tokenizer/gguf_arrays.h"

#include <fmt/format.h>

#include "kernels/api/error.h"
#include "model/printable.h"

namespace tritbench {

const GgufArray* find_array(const GgufFile& file, std::string_view key, GgufValueType element_type,
                            uint64_t most) {
    const GgufValue* value = file.find(key);
    if (value == nullptr) return nullptr;
    const auto* array = std::get_if<GgufArray>(value);
    const std::string name = printable(file.path().string(), 300);
    if (array == nullptr) throw Error(fmt::format("{}: key '{}' is not an array", name, key));
    if (array->element_type != static_cast<uint32_t>(element_type)) {
        throw Error(fmt::format("{}: key '{}' has elements of GGUF type {}, expected type {}", name,
                                key, array->element_type, static_cast<uint32_t>(element_type)));
    }
    if (array->count > most) {
        throw Error(fmt::format("{}: key '{}' has {} elements, expected at most {}", name, key,
                                array->count, most));
    }
    return array;
}

}  // namespace tritbench
