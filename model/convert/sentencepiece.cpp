#include "model/convert/sentencepiece.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

#include "kernels/api/error.h"
#include "model/convert/json_file.h"
#include "model/convert/token_table.h"
#include "model/file_mapping.h"
#include "model/printable.h"

namespace tritbench {
namespace {

// Field numbers of sentencepiece_model.proto.
namespace model_field {
constexpr uint64_t kPiece = 1, kTrainer = 2, kNormaliser = 3;
}
namespace piece_field {
constexpr uint64_t kText = 1, kScore = 2, kType = 3;
}
constexpr uint64_t kModelType = 3, kBytePairEncoding = 2;  // of the trainer
constexpr uint64_t kAddDummyPrefix = 3;                    // of the normaliser

struct Field {
    uint64_t number = 0;
    uint64_t value = 0;      // of a variable-length integer
    std::string_view bytes;  // of a text, a message or a fixed-size number
};

// The fields of one message, front to back.
class Message {
  public:
    Message(std::string file, std::string_view data) : file_(std::move(file)), data_(data) {}

    bool next(Field& field) {
        if (data_.empty()) return false;
        const uint64_t tag = integer();
        field = {tag >> 3, 0, {}};
        switch (tag & 7) {
            case 0:
                field.value = integer();
                break;
            case 1:
                field.bytes = take(8);
                break;
            case 2:
                field.bytes = take(integer());
                break;
            case 5:
                field.bytes = take(4);
                break;
            default:
                fail("holds a field of an unknown kind");
        }
        return true;
    }

    [[noreturn]] void fail(std::string_view problem) const {
        throw Error(fmt::format("{}: {}; expected a SentencePiece model", file_, problem));
    }
    Message inner(std::string_view data) const { return {file_, data}; }

  private:
    uint64_t integer() {
        uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            const auto byte = static_cast<uint8_t>(take(1).front());
            value |= static_cast<uint64_t>(byte & 0x7F) << shift;
            if (byte < 0x80) return value;
        }
        fail("holds an integer of more than 64 bits");
    }
    std::string_view take(uint64_t count) {
        if (count > data_.size()) fail("ends in the middle of a field");
        const std::string_view found = data_.substr(0, count);
        data_.remove_prefix(count);
        return found;
    }

    std::string file_;
    std::string_view data_;
};

void add_piece(Message piece, int64_t id, TokenTable& table, std::vector<float>& scores) {
    std::string text;
    float score = 0;
    auto type = static_cast<uint64_t>(TokenType::Normal);
    for (Field field; piece.next(field);) {
        if (field.number == piece_field::kText) text = field.bytes;
        if (field.number == piece_field::kType) type = field.value;
        if (field.number == piece_field::kScore && field.bytes.size() == sizeof score) {
            std::memcpy(&score, field.bytes.data(), sizeof score);
        }
    }
    if (type < 1 || type > 6 || !std::isfinite(score)) {
        piece.fail(fmt::format("piece {} has the type {} and the score {}", id, type, score));
    }
    table.add(text, id, static_cast<TokenType>(type), "pieces");  // the numbers are those of GGUF
    scores[static_cast<size_t>(id)] = score;
}

// added_tokens.json: {text: id}; tokenizer_config.json: added_tokens_decoder: {"id": {content,
// special}}.
void add_tokens_beside(const std::filesystem::path& folder, TokenTable& table) {
    const OptionalJson added(folder / "added_tokens.json");
    for (const auto& [text, id] : added->items()) {
        table.add(text, id, TokenType::UserDefined, "added_tokens.json");
    }
    const OptionalJson settings(folder / "tokenizer_config.json");
    const JsonObject decoder = settings->object("added_tokens_decoder");
    for (const auto& [id, entry] : decoder.items()) {
        const JsonObject token(settings->file(), entry);
        const bool number = !id.empty() && id.size() < 10 &&
                            id.find_first_not_of("0123456789") == std::string::npos;
        const std::string text = token.text("content", "");
        if (!number || text.empty()) decoder.fail(id, "a token id with its content");
        table.add(text, std::stoll(id),
                  token.boolean("special", false) ? TokenType::Control : TokenType::UserDefined,
                  "added_tokens_decoder");
    }
}

}  // namespace

void read_sentencepiece(const std::filesystem::path& path, int64_t vocab, TokenizerKeys& out) {
    const FileMapping file(path.string(), "a SentencePiece model");
    Message model(printable(path.string(), 300),
                  {reinterpret_cast<const char*>(file.data()), file.size()});
    // As llama.cpp ranks them: gaps never, added tokens after all pieces.
    constexpr float kUnused = -10000, kAdded = -1000;
    TokenTable table(printable(path.string(), 300), vocab, out);
    out.scores.assign(static_cast<size_t>(vocab), kAdded);
    out.model = "llama";
    out.add_space_prefix = true;
    out.add_bos = true;
    uint64_t algorithm = 1;  // the format's default, Unigram
    int64_t pieces = 0;
    for (Field field; model.next(field);) {
        if (field.number == model_field::kPiece) {
            add_piece(model.inner(field.bytes), pieces++, table, out.scores);
        } else if (field.number == model_field::kTrainer ||
                   field.number == model_field::kNormaliser) {
            Message message = model.inner(field.bytes);
            const bool trainer = field.number == model_field::kTrainer;
            for (Field inner; message.next(inner);) {
                if (trainer && inner.number == kModelType) algorithm = inner.value;
                if (!trainer && inner.number == kAddDummyPrefix) {
                    out.add_space_prefix = inner.value != 0;
                }
            }
        }
    }
    if (algorithm != kBytePairEncoding) {
        model.fail(fmt::format("has the model_type {}, where 2 is byte-pair encoding", algorithm));
    }
    if (pieces == 0) model.fail("has no pieces");
    add_tokens_beside(path.parent_path(), table);
    for (size_t id = 0; id < out.types.size(); ++id) {
        if (out.types[id] == 0) out.scores[id] = kUnused;
    }
    table.fill_gaps();
}

}  // namespace tritbench
