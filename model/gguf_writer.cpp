#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <deque>
#include <unordered_set>
#include <utility>

#include "kernels/api/error.h"
#include "model/byte_buffer.h"
#include "model/gguf.h"
#include "model/gguf_format.h"
#include "model/printable.h"

namespace tritbench {
namespace {

namespace fs = std::filesystem;

// ggml keeps tensor names in 64 bytes including the final zero.
constexpr size_t kMaxTensorName = 63;

struct DeclaredTensor {
    std::string name;
    GgmlType type;
    std::vector<int64_t> ne;
    uint64_t bytes;
    uint64_t offset;  // in the data section
    std::atomic<uint64_t> written{0};

    DeclaredTensor(std::string_view n, GgmlType t, std::vector<int64_t> e, uint64_t b, uint64_t o)
        : name(n), type(t), ne(std::move(e)), bytes(b), offset(o) {}
};

}  // namespace

struct GgufWriter::Impl {
    Impl(fs::path final_path, uint32_t align)
        : path(std::move(final_path)),
          partial(path.string() + fmt::format(".partial-{}", ::getpid())),
          shown(printable(path.string(), 300)),
          alignment(align) {}
    ~Impl() {
        if (fd < 0) return;
        ::close(fd);
        ::unlink(partial.c_str());
    }

    [[noreturn]] void fail(std::string_view problem) const {
        throw Error(fmt::format("{}: {}", shown, problem));
    }
    [[noreturn]] void fail_errno(std::string_view what) const {
        fail(fmt::format("{}: {}", what, std::strerror(errno)));
    }

    template <class T>
    void set(std::string_view key, GgufValueType type, T value) {
        start_key(key, type);
        keys.value(value);
    }
    template <class T>
    void set_array(std::string_view key, GgufValueType type, std::span<const T> values) {
        start_key(key, GgufValueType::Array);
        keys.value(static_cast<uint32_t>(type));
        keys.value(static_cast<uint64_t>(values.size()));
        keys.append(std::as_bytes(values));
    }
    void start_key(std::string_view key);
    void start_key(std::string_view key, GgufValueType type);
    ByteBuffer tensor_table() const;
    uint64_t data_begin() const;
    void check_free_disk() const;
    void write_all(std::span<const std::byte> data, uint64_t at) const;

    fs::path path;
    std::string partial, shown;
    uint64_t alignment;
    ByteBuffer keys;
    uint64_t key_count = 0;
    std::unordered_set<std::string> key_names, tensor_names;
    std::deque<DeclaredTensor> tensors;  // a deque because atomics cannot move
    uint64_t data_bytes = 0;             // of the data section, padded
    uint64_t data_start = 0;             // its position in the file, once begun
    size_t current = 0;                  // tensor that write() fills
    uint64_t current_offset = 0;
    int fd = -1;
    bool begun = false;
};

void GgufWriter::Impl::start_key(std::string_view key) {
    if (begun) fail("keys cannot be added after begin()");
    if (!key_names.emplace(key).second) {
        fail(fmt::format("key '{}' is set twice", printable(key)));
    }
    keys.text(key);
    ++key_count;
}

void GgufWriter::Impl::start_key(std::string_view key, GgufValueType type) {
    start_key(key);
    keys.value(static_cast<uint32_t>(type));
}

ByteBuffer GgufWriter::Impl::tensor_table() const {
    ByteBuffer table;
    for (const DeclaredTensor& t : tensors) {
        table.text(t.name);
        table.value(static_cast<uint32_t>(t.ne.size()));
        for (int64_t extent : t.ne) table.value(static_cast<uint64_t>(extent));
        table.value(static_cast<uint32_t>(t.type));
        table.value(t.offset);
    }
    return table;
}

uint64_t GgufWriter::Impl::data_begin() const {
    constexpr uint64_t header = 4 + 4 + 8 + 8;
    return gguf_align(header + keys.size() + tensor_table().size(), alignment);
}

// Before the first byte: a disk that runs full after minutes of writing is a bad way to find out.
void GgufWriter::Impl::check_free_disk() const {
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    struct statvfs disk {};
    if (::statvfs(folder.c_str(), &disk) != 0) {
        fail(fmt::format("cannot write into folder '{}': {}", printable(folder.string(), 300),
                         std::strerror(errno)));
    }
    const uint64_t have = uint64_t{disk.f_bavail} * disk.f_frsize;
    const uint64_t need = data_start + data_bytes;
    if (need > have) {
        fail(fmt::format("needs {:.2f} GB of disk, but folder '{}' has {:.2f} GB free",
                         static_cast<double>(need) * 1e-9, printable(folder.string(), 300),
                         static_cast<double>(have) * 1e-9));
    }
}

void GgufWriter::Impl::write_all(std::span<const std::byte> data, uint64_t at) const {
    while (!data.empty()) {
        const ssize_t done = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(at));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) fail_errno(fmt::format("cannot write {} bytes", data.size()));
        at += static_cast<uint64_t>(done);
        data = data.subspan(static_cast<size_t>(done));
    }
}

GgufWriter::GgufWriter(fs::path path, uint32_t alignment)
    : impl_(std::make_unique<Impl>(std::move(path), alignment)) {
    if (!std::has_single_bit(alignment) || alignment < 8 || alignment > (1U << 30U)) {
        impl_->fail(fmt::format("alignment {}, expected a power of two from 8 to 2^30", alignment));
    }
    if (alignment != kGgufDefaultAlignment) set_u32("general.alignment", alignment);
}

GgufWriter::~GgufWriter() = default;

void GgufWriter::set_u32(std::string_view key, uint32_t value) {
    impl_->set(key, GgufValueType::U32, value);
}
void GgufWriter::set_u64(std::string_view key, uint64_t value) {
    impl_->set(key, GgufValueType::U64, value);
}
void GgufWriter::set_f32(std::string_view key, float value) {
    impl_->set(key, GgufValueType::F32, value);
}
void GgufWriter::set_bool(std::string_view key, bool value) {
    impl_->set(key, GgufValueType::Bool, static_cast<uint8_t>(value));
}
void GgufWriter::set_text(std::string_view key, std::string_view value) {
    impl_->start_key(key, GgufValueType::Text);
    impl_->keys.text(value);
}
void GgufWriter::set_texts(std::string_view key, const std::vector<std::string>& values) {
    impl_->start_key(key, GgufValueType::Array);
    impl_->keys.value(static_cast<uint32_t>(GgufValueType::Text));
    impl_->keys.value(static_cast<uint64_t>(values.size()));
    for (const std::string& value : values) impl_->keys.text(value);
}

void GgufWriter::set_i32s(std::string_view key, std::span<const int32_t> values) {
    impl_->set_array(key, GgufValueType::I32, values);
}
void GgufWriter::set_f32s(std::string_view key, std::span<const float> values) {
    impl_->set_array(key, GgufValueType::F32, values);
}
void GgufWriter::set_stored(std::string_view key, std::span<const std::byte> type_and_value) {
    impl_->start_key(key);
    impl_->keys.append(type_and_value);
}

void GgufWriter::add_tensor(std::string_view name, GgmlType type, std::vector<int64_t> ne) {
    Impl& w = *impl_;
    const std::string shown_name = printable(name);
    if (w.begun) w.fail("tensors cannot be added after begin()");
    if (name.empty() || name.size() > kMaxTensorName) {
        w.fail(fmt::format("tensor name '{}' has {} bytes, expected 1..{}", shown_name, name.size(),
                           kMaxTensorName));
    }
    if (w.tensor_names.count(std::string(name)) != 0) {
        w.fail(fmt::format("tensor '{}' is added twice", shown_name));
    }
    if (ne.empty() || ne.size() > kGgufMaxDimensions) {
        w.fail(fmt::format("tensor '{}' has {} dimensions, expected 1..{}", shown_name, ne.size(),
                           kGgufMaxDimensions));
    }
    const auto bytes = ggml_tensor_bytes(type, ne);
    constexpr uint64_t largest_file = uint64_t{1} << 62;  // far below off_t's limit, sums included
    if (!bytes || *bytes > largest_file - w.data_bytes) {
        w.fail(fmt::format("tensor '{}' of {} cannot be stored as {}", shown_name, extents_text(ne),
                           ggml_type_name(type)));
    }
    w.tensors.emplace_back(name, type, std::move(ne), *bytes, w.data_bytes);
    w.tensor_names.emplace(name);
    w.data_bytes = gguf_align(w.data_bytes + *bytes, w.alignment);
}

uint64_t GgufWriter::total_bytes() const {
    return impl_->data_begin() + impl_->data_bytes;
}

void GgufWriter::begin() {
    Impl& w = *impl_;
    if (w.begun) w.fail("begin() was called twice");
    w.begun = true;
    w.data_start = w.data_begin();
    if (fs::exists(w.path) && !fs::is_regular_file(w.path)) {
        w.fail("exists and is not a regular file; name another output");
    }
    w.check_free_disk();
    w.fd = ::open(w.partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w.fd < 0) w.fail_errno(fmt::format("cannot create {}", printable(w.partial, 300)));
    ByteBuffer header;
    header.value(uint32_t{0x46554747});  // "GGUF"
    header.value(uint32_t{3});
    header.value(static_cast<uint64_t>(w.tensors.size()));
    header.value(w.key_count);
    header.append(w.keys.span());
    header.append(w.tensor_table().span());
    header.pad_to(w.data_start);
    w.write_all(header.span(), 0);
    // The padding between tensors is the hole that this leaves: it reads as zeros.
    const uint64_t total = w.data_start + w.data_bytes;
    if (::ftruncate(w.fd, static_cast<off_t>(total)) != 0) w.fail_errno("cannot extend the file");
}

void GgufWriter::write(std::span<const std::byte> data) {
    Impl& w = *impl_;
    if (w.current == w.tensors.size()) {
        if (data.empty()) return;
        w.fail(fmt::format("{} bytes more than its tensors hold", data.size()));
    }
    write_at(w.current, w.current_offset, data);
    w.current_offset += data.size();
    if (w.current_offset == w.tensors[w.current].bytes) {
        ++w.current;
        w.current_offset = 0;
    }
}

void GgufWriter::write_at(size_t tensor, uint64_t offset, std::span<const std::byte> data) {
    Impl& w = *impl_;
    if (w.fd < 0) w.fail("data was written before begin() or after finish()");
    if (tensor >= w.tensors.size()) {
        w.fail(
            fmt::format("tensor {} was written, but there are only {}", tensor, w.tensors.size()));
    }
    DeclaredTensor& t = w.tensors[tensor];
    if (offset > t.bytes || data.size() > t.bytes - offset) {
        w.fail(fmt::format("tensor '{}' holds {} bytes, but {} were written at {}", t.name, t.bytes,
                           data.size(), offset));
    }
    w.write_all(data, w.data_start + t.offset + offset);
    t.written += data.size();
}

void GgufWriter::finish() {
    Impl& w = *impl_;
    if (w.fd < 0) w.fail("finish() was called before begin() or twice");
    for (const DeclaredTensor& t : w.tensors) {
        if (t.written != t.bytes) {
            w.fail(fmt::format("tensor '{}' has {} of its {} bytes", t.name, t.written.load(),
                               t.bytes));
        }
    }
    // close() reports write errors that the page cache had put off (NFS, quota).
    const int closing = w.fd;
    w.fd = -1;
    if (::close(closing) != 0 || ::rename(w.partial.c_str(), w.path.c_str()) != 0) {
        const int problem = errno;
        ::unlink(w.partial.c_str());
        errno = problem;
        w.fail_errno("cannot complete the file");
    }
}

}  // namespace tritbench
